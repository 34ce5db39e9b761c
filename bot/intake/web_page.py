"""Finds the picture that a web page names. Runs in the sandbox only."""

from __future__ import annotations

from html.parser import HTMLParser

MAX_CHARACTERS = 2**20
"""The part of a page that is searched for `<meta>` elements, which belong in the head."""

_PROPERTIES = ("og:image", "og:image:url", "og:image:secure_url", "twitter:image")
"""The properties that name a picture, best first: Open Graph (https://ogp.me), then Twitter
cards."""


def find_picture(page: bytes) -> str | None:
    """The address in the page's `og:image`, unresolved, or None."""
    finder = _Finder()
    finder.feed(page.decode("utf-8", errors="replace")[:MAX_CHARACTERS])
    return next((finder.found[name] for name in _PROPERTIES if name in finder.found), None)


class _Finder(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        name = values.get("property") or values.get("name")
        content = values.get("content")
        if tag == "meta" and name in _PROPERTIES and content:
            self.found.setdefault(name, content)
