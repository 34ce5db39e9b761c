"""A web page → the address of the picture that it names. Runs in the sandbox only."""

from __future__ import annotations

from html.parser import HTMLParser

MAX_CHARACTERS = 2**20
"""How far into a page its `<meta>` elements are looked for. They belong in the head."""

_PROPERTIES = ("og:image", "og:image:url", "og:image:secure_url", "twitter:image")
"""Which of them name a picture, best first: the Open Graph protocol (https://ogp.me), then the
name that pages use which have only the other kind of card."""


def find_picture(page: bytes) -> str | None:
    """The address in the page's `og:image`, as it stands there, or None."""
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
