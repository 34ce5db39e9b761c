"""Parsing links without network access."""

import pytest
from yarl import URL

from bot.intake.errors import BadLink
from bot.intake.links import parse_link


@pytest.mark.parametrize(
    ("text", "base", "url"),
    [
        ("http://example.com", None, "http://example.com"),
        ("HTTPS://Example.COM/A?b=%20#c", None, "https://example.com/A?b=%20"),
        ("/x", "https://example.com/a/b", "https://example.com/x"),
        ("x?y", "https://example.com/a/b", "https://example.com/a/x?y"),
        ("//other.example/x", "https://example.com/a", "https://other.example/x"),
        ("http://bücher.example/", None, "http://xn--bcher-kva.example/"),
    ],
)
def test_links_become_absolute(text: str, base: str | None, url: str) -> None:
    assert str(parse_link(text, None if base is None else URL(base))) == url


@pytest.mark.parametrize("text", ["x", "/x", "ftp://a/", "http://u@a/", "http://", "http://a:x/"])
def test_invalid_links_are_refused(text: str) -> None:
    with pytest.raises(BadLink):
        parse_link(text)


def test_a_signed_attachment_link_stays_unchanged() -> None:
    link = (
        "https://cdn.discordapp.com/attachments/1112223334445556667/1112223334445556668/"
        "my_cat_1.png?ex=66a1b2c3&is=66a06143&hm=0123456789abcdef0123456789abcdef&"
    )
    assert parse_link(link).raw_path_qs == link.removeprefix("https://cdn.discordapp.com")
