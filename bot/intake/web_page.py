"""Recognizes web pages, and finds the pictures that they name.

`find_pictures` runs in the sandbox only.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from html.parser import HTMLParser

MAX_CHARACTERS = 2**20
"""The part of a page that is searched. The elements in question belong in its head."""

MAX_CANDIDATES = 8

# Properties that name a picture, best first: Open Graph (https://ogp.me), then Twitter cards
# (https://developer.x.com/en/docs/x-for-websites/cards/overview/markup).
_PROPERTIES = (
    "og:image",
    "og:image:url",
    "og:image:secure_url",
    "twitter:image",
    "twitter:image:src",
)
_LINK = "image_src"
# https://schema.org/image and its subproperties
_MICRODATA = ("image", "thumbnailurl", "primaryimageofpage", "contenturl")
_ORDER = (*_PROPERTIES, _LINK, *_MICRODATA)

# The codecs are imported here, because the sandbox cannot import a module once it has started.
# Web pages use these besides UTF-8 (https://encoding.spec.whatwg.org/#names-and-labels).
_CODECS = {
    name: codecs.lookup(name)
    for name in (
        *("utf-8", "utf-16-le", "utf-16-be", "cp1252", "cp1251", "cp1250", "koi8-r", "iso8859-2"),
        *("shift_jis", "euc_jp", "iso2022_jp", "gbk", "gb18030", "big5", "euc_kr"),
    )
}
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# Without backtracking, because it runs outside the sandbox.
_ROOT = re.compile(
    r"(?:(?><\?.*?\?>)|(?><!--.*?-->)|(?><!doctype[^>]*>)|\s)*+<([a-z:]*)", re.DOTALL
)
_CHARSET = re.compile(rb"""(?:charset|encoding)\s*=\s*["']?\s*([\w-]+)""", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class PagePictures:
    """The addresses that a page names, unresolved, best first; `base` is that of `<base>`."""

    base: str | None
    addresses: tuple[str, ...]


def find_pictures(page: bytes) -> PagePictures:
    """The pictures that `page` names, at most `MAX_CANDIDATES`."""
    finder = _Finder()
    finder.feed(_text_of(page)[:MAX_CHARACTERS])
    ordered = sorted(finder.found, key=lambda found: _ORDER.index(found[0]))
    addresses = dict.fromkeys(address for _, address in ordered)
    return PagePictures(finder.base, tuple(addresses)[:MAX_CANDIDATES])


def looks_like_page(body: bytes) -> bool:
    """Whether `body` is HTML or XHTML, in UTF-8 or UTF-16; SVG and other XML are not."""
    start = _text_of(body[:4096]).lstrip("\ufeff \t\r\n\f").lower()
    if not start.startswith("<"):
        return False
    # The first element, after the XML declaration, comments and the document type.
    root = _ROOT.match(start)
    if start.startswith("<?xml"):
        return root is not None and root[1].rpartition(":")[2] == "html"
    return root is None or root[1].rpartition(":")[2] != "svg"


def _text_of(page: bytes) -> str:
    for mark, name in _BYTE_ORDER_MARKS:
        if page.startswith(mark):
            return _decoded(page[len(mark) :], name)
    if page[:2] in (b"<\0", b"\0<"):
        return _decoded(page, "utf-16-le" if page[:1] == b"<" else "utf-16-be")
    declared = _CHARSET.search(page, 0, 1024)
    return _decoded(page, declared[1].decode("ascii").lower() if declared else "utf-8")


def _decoded(page: bytes, name: str) -> str:
    # What is read as ASCII up to its declaration is not UTF-16, whatever it declares.
    # https://html.spec.whatwg.org/multipage/parsing.html#prescan-a-byte-stream-to-determine-its-encoding
    name = {"gb2312": "gbk", "iso-8859-1": "cp1252", "windows-1252": "cp1252"}.get(name, name)
    name = name.replace("windows-", "cp").replace("-jp", "_jp").replace("-kr", "_kr")
    codec = _CODECS.get(name.replace("iso-", "iso"), _CODECS["utf-8"])
    return codec.decode(page, "replace")[0]


class _Finder(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.base: str | None = None
        self.found: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: (value or "").strip() for name, value in reversed(attrs)}
        if tag == "base":
            self.base = self.base or values.get("href") or None
        address = values.get("content") or values.get("href") or values.get("src")
        if not address:
            return
        for attribute, names in (
            ("property", _PROPERTIES),
            ("name", _PROPERTIES),
            ("itemprop", _MICRODATA),
            *((("rel", (_LINK,)),) if tag == "link" else ()),
        ):
            for name in values.get(attribute, "").lower().split():
                if name in names:
                    self.found.append((name, address))
