"""The errors of links and pictures. Each carries one sentence for the user.

SourceError
├── LinkError                   the link cannot be fetched
│   ├── BadLink                 not an http or https link, or with a user name
│   ├── LinkRefused             not a public address, a port or host that is not allowed
│   ├── DeadLink                no response, or one that cannot be read
│   ├── LinkAnsweredBadly       an HTTP status other than success, and of these:
│   │   ├── LinkForbidden       401, 403, 451
│   │   ├── LinkNotFound        404, 410
│   │   ├── LinkRateLimited     429
│   │   ├── LinkServerFailed    500 and above
│   │   └── DiscordLinkExpired  Discord's answer for an attachment link that has expired
│   ├── TooManyRedirects        more redirects than the limit
│   ├── LinkTooSlow             the time limit is over
│   └── PageWithoutPicture      a web page that names no picture
└── PictureError                the file cannot be decoded
    ├── FileTooLarge            more bytes than the limit, also while fetching
    ├── NotAPicture             no known format
    ├── UnsupportedFormat       a known format that is not supported
    ├── BrokenPicture           a supported format, damaged
    ├── IncompletePicture       a supported format whose end is missing
    ├── TooManyPixels           more pixels than the limit
    ├── NotTransparent          the picture has no transparent region
    ├── TooLong                 the aspect ratio is over the limit
    └── TooMuchWork             decoding exceeds its time or memory limit
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


class LinkForbidden(LinkAnsweredBadly):
    """401, 403 or 451: often a host that refuses clients other than browsers."""

    text = (
        "That site refuses to give the picture to bots (status {status}); "
        "please save the picture and attach it."
    )


class LinkNotFound(LinkAnsweredBadly):
    """404 or 410."""

    text = "That link does not work: the site has no such file (status {status})."


class LinkRateLimited(LinkAnsweredBadly):
    """429."""

    text = "That site received too many requests (status 429); try again later or attach the file."


class LinkServerFailed(LinkAnsweredBadly):
    """500 and above."""

    text = "That site has a problem (status {status}); try again later or attach the file."


class DiscordLinkExpired(LinkAnsweredBadly):
    """The signature of a link to a Discord attachment has expired, or the file was deleted."""

    text = (
        "That link to a Discord file has expired; such links work for about a day. "
        "Attach the file, or give a link to its message."
    )


class TooManyRedirects(LinkError):
    """More redirects than `IntakeLimits.max_redirects`."""

    text = "That link redirects more than {limit} {limit:time|times}; please use the final address."


class LinkTooSlow(LinkError):
    """Fetching took longer than `IntakeLimits.total_seconds`, redirects included."""

    text = (
        "Loading that link took longer than {seconds:g} {seconds:second|seconds}; "
        "try again or attach the file."
    )


class PageWithoutPicture(LinkError):
    """A web page that names no picture."""

    text = "That link leads to a web page without a picture; please link to the picture itself."


class PictureError(SourceError):
    """The file cannot be decoded to a picture."""


class FileTooLarge(PictureError):
    """More bytes than `IntakeLimits.max_bytes`, from a link or as an attachment."""

    text = "That file is too large; the limit is {mebibytes:g} MiB."


class NotAPicture(PictureError):
    """No known format."""

    text = (
        "That file is not a picture; supported are PNG, JPEG, WebP, GIF, AVIF, HEIC, BMP and TIFF."
    )


class UnsupportedFormat(PictureError):
    """A known format that is not supported; `format` is its name."""

    text = (
        "Files of type {format} are not supported; "
        "use PNG, JPEG, WebP, GIF, AVIF, HEIC, BMP or TIFF."
    )


class BrokenPicture(PictureError):
    """A supported format, but damaged."""

    text = "That picture is damaged and cannot be opened."


class IncompletePicture(PictureError):
    """A supported format whose end is missing."""

    text = "That file is incomplete: its end is missing; please upload it again."


class TooManyPixels(PictureError):
    """More pixels than `IntakeLimits.max_pixels`."""

    text = (
        "That picture has too many pixels; "
        "the limit is {megapixels:g} {megapixels:megapixel|megapixels}."
    )


class NotTransparent(PictureError):
    """The transparent region is asked for, and the picture is opaque."""

    text = "This picture has no transparent region."


class TooLong(PictureError):
    """The aspect ratio exceeds `geometry.MAX_ASPECT`."""

    text = (
        "That picture is too narrow; the long side can be at most {limit} {limit:time|times} "
        "the short side."
    )


class TooMuchWork(PictureError):
    """The decoder crashed, or exceeded its time or memory limit."""

    text = "Opening that picture takes too much time or memory; a smaller one may work."
