"""The errors of links and pictures. Each carries one sentence for the user.

SourceError
├── LinkError               the link cannot be fetched
│   ├── BadLink             not an http or https link, or with a user name
│   ├── LinkRefused         not a public address, a port or host that is not allowed
│   ├── DeadLink            no response, or one that cannot be read
│   ├── LinkAnsweredBadly   an HTTP status other than success
│   ├── TooManyRedirects    more redirects than the limit
│   ├── LinkTooSlow         the time limit is over
│   └── PageWithoutPicture  a web page that names no picture
└── PictureError            the file cannot be decoded
    ├── FileTooLarge        more bytes than the limit, also while fetching
    ├── NotAPicture         none of the supported formats
    ├── BrokenPicture       a supported format, damaged or incomplete
    ├── TooManyPixels       more pixels than the limit
    ├── TooLong             the aspect ratio is over the limit
    └── TooMuchWork         decoding exceeds its time or memory limit
"""

from __future__ import annotations

from bot.errors import SourceError


class LinkError(SourceError):
    """The link does not lead to a file."""


class BadLink(LinkError):
    """Not an absolute http or https link, or one that contains a user name."""

    text = "The link must start with http:// or https:// and contain no user name."


class LinkRefused(LinkError):
    """The address is not public, or the operator does not allow the host or the port.

    The sentence is the same for all causes, so that it reveals nothing about the network.
    """

    text = "That link cannot be used: only public web addresses are allowed."


class DeadLink(LinkError):
    """The server does not respond, or not with valid HTTP."""

    text = "That link does not work: the server cannot be reached, or its response is not valid."


class LinkAnsweredBadly(LinkError):
    """The server responded with an HTTP status other than success."""

    text = "That link does not work: the server responded with status {status}."


class TooManyRedirects(LinkError):
    """More redirects than `IntakeLimits.max_redirects`."""

    text = "That link redirects more than {limit} times; please use the final address."


class LinkTooSlow(LinkError):
    """Fetching took longer than `IntakeLimits.total_seconds`, redirects included."""

    text = "Loading that link took longer than {seconds:g} seconds; try again or attach the file."


class PageWithoutPicture(LinkError):
    """A web page that names no picture."""

    text = "That link leads to a web page without a picture; please link to the picture itself."


class PictureError(SourceError):
    """The file cannot be decoded to a picture."""


class FileTooLarge(PictureError):
    """More bytes than `IntakeLimits.max_bytes`, from a link or as an attachment."""

    text = "That file is too large; the limit is {mebibytes:g} MiB."


class NotAPicture(PictureError):
    """None of the supported formats."""

    text = (
        "That file is not a supported picture; use PNG, JPEG, WebP, GIF, AVIF, HEIC, BMP or TIFF."
    )


class BrokenPicture(PictureError):
    """A supported format, but damaged or incomplete."""

    text = "That picture is damaged or incomplete."


class TooManyPixels(PictureError):
    """More pixels than `IntakeLimits.max_pixels`."""

    text = "That picture has too many pixels; the limit is {megapixels:g} megapixels."


class TooLong(PictureError):
    """The aspect ratio exceeds `geometry.MAX_ASPECT`."""

    text = "That picture is too narrow; the long side can be at most {limit} times the short side."


class TooMuchWork(PictureError):
    """The decoder crashed, or exceeded its time or memory limit."""

    text = "Opening that picture takes too much time or memory; a smaller one may work."
