"""What may be wrong with a stranger's link or picture, each with its one sentence.

SourceError
├── LinkError               the bytes cannot be fetched
│   ├── BadLink             not an http or https address
│   ├── LinkRefused         not a public address, a port or host that is not allowed
│   ├── DeadLink            no answer, or one that cannot be read
│   ├── LinkAnsweredBadly   an HTTP status other than success
│   ├── TooManyRedirects    it points elsewhere again and again
│   ├── LinkTooSlow         the time for the whole way is over
│   └── PageWithoutPicture  a web page that names no picture
└── PictureError            the bytes cannot be redrawn
    ├── FileTooLarge        too many bytes, also while fetching
    ├── NotAPicture         none of the formats
    ├── BrokenPicture       one of the formats, damaged or incomplete
    ├── TooManyPixels       more than can be opened
    ├── TooLong             one side is many times the other
    └── TooMuchWork         opening it takes more time or memory than is given to it
"""

from __future__ import annotations

from bot.errors import SourceError


class LinkError(SourceError):
    """The link cannot be followed to a file."""


class BadLink(LinkError):
    """Not an absolute http or https address, or one with a user name in it."""

    text = "That is not a link I can open: it must begin with http:// or https://, without a login."


class LinkRefused(LinkError):
    """The address is not public, or the operator does not allow the host or the port.

    The sentence is the same for all of these, so that it tells nothing about the network.
    """

    text = "I am not allowed to open that link; only public web addresses work."


class DeadLink(LinkError):
    """Nobody answers there, or not in HTTP."""

    text = "That link does not work: the server cannot be reached or its answer cannot be read."


class LinkAnsweredBadly(LinkError):
    """The server answered with a status other than success."""

    text = "That link does not work: the server answered with status {status}."


class TooManyRedirects(LinkError):
    """More hops than are followed."""

    text = "That link points elsewhere more than {limit} times; please use the final address."


class LinkTooSlow(LinkError):
    """The whole way, redirects included, took too long."""

    text = "That link took longer than {seconds:g} seconds; please try again or attach the file."


class PageWithoutPicture(LinkError):
    """A web page, and it names no picture that could be used instead."""

    text = "That link leads to a web page without a picture; please link the picture itself."


class PictureError(SourceError):
    """The file cannot be turned into a picture to redraw."""


class FileTooLarge(PictureError):
    """More bytes than are read, from a link or as an attachment."""

    text = "That file is too large; I can take up to {mebibytes:g} MiB."


class NotAPicture(PictureError):
    """None of the formats that are read."""

    text = (
        "That file is not a picture I can read; "
        "PNG, JPEG, WebP, GIF, AVIF, HEIC, BMP and TIFF work."
    )


class BrokenPicture(PictureError):
    """One of the formats, but damaged."""

    text = "That picture is damaged or incomplete."


class TooManyPixels(PictureError):
    """More pixels than are decoded."""

    text = "That picture is too large to open; up to {megapixels:g} megapixels work."


class TooLong(PictureError):
    """One side is so much longer than the other that the model cannot draw it."""

    text = "That picture is too long and thin; one side can be at most {limit} times the other."


class TooMuchWork(PictureError):
    """The decoder died, hung, or ran out of memory over it."""

    text = "That picture takes too much time or memory to open; a smaller one may work."
