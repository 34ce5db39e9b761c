"""The pictures that a page names, in the order of their properties and in any encoding."""

from __future__ import annotations

import codecs

import pytest

from bot.intake.web_page import MAX_CANDIDATES, MAX_CHARACTERS, find_pictures, looks_like_page


def test_properties_come_in_their_order_and_each_address_once() -> None:
    page = b"""<html><head>
      <img itemprop="image" src="microdata.png">
      <link rel="image_src" href="linked.png">
      <meta name="twitter:image" content="card.png">
      <meta property="og:image:url" content="graph.png">
      <meta property="OG:IMAGE" content=" first.png ">
      <meta property="og:image:secure_url" content="first.png">
      <meta property="og:title" content="title.png">
      <a rel="image_src" href="not-a-link-element.png">
      <meta property="og:image" content="">
    """
    assert find_pictures(page).addresses == (
        *("first.png", "graph.png", "card.png", "linked.png", "microdata.png"),
    )


def test_no_more_pictures_than_the_limit_are_named() -> None:
    page = "".join(f'<meta property="og:image" content="{n}.png">' for n in range(20))
    found = find_pictures(page.encode()).addresses
    assert found == tuple(f"{n}.png" for n in range(MAX_CANDIDATES))


def test_the_first_base_counts() -> None:
    page = b'<base target="_top"><base href="https://a.example/"><base href="https://b.example/">'
    assert find_pictures(page).base == "https://a.example/"
    assert find_pictures(b"<html>").base is None


def test_only_the_beginning_of_a_page_is_searched() -> None:
    late = " " * MAX_CHARACTERS + '<meta property="og:image" content="a.png">'
    assert find_pictures(late.encode()).addresses == ()


@pytest.mark.parametrize(
    ("declared", "codec"),
    [
        ("UTF-8", "utf-8"),
        ("gb2312", "gbk"),
        ("iso-8859-1", "cp1252"),
        ("windows-1251", "cp1251"),
        ("iso-8859-2", "iso8859-2"),
        ("iso-2022-jp", "iso2022_jp"),
        ("euc-kr", "euc_kr"),
        ("Shift_JIS", "shift_jis"),
        ("utf-16", "utf-8"),
        ("unknown", "utf-8"),
    ],
)
def test_the_declared_encoding_is_used(declared: str, codec: str) -> None:
    name = {"cp1251": "Кот", "gbk": "猫", "iso2022_jp": "猫", "shift_jis": "猫", "euc_kr": "고양이"}
    address = f"{name.get(codec, 'é')}.png"
    page = f'<meta charset="{declared}"><meta property="og:image" content="{address}">'
    assert find_pictures(page.encode(codec)).addresses == (address,)


@pytest.mark.parametrize(
    ("mark", "codec"),
    [
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (b"", "utf-16-le"),
        (b"", "utf-16-be"),
    ],
)
def test_a_byte_order_mark_decides_the_encoding(mark: bytes, codec: str) -> None:
    page = '<meta charset="shift_jis"><meta property="og:image" content="é.png">'
    assert find_pictures(mark + page.encode(codec)).addresses == ("é.png",)
    assert looks_like_page(mark + page.encode(codec))


@pytest.mark.parametrize(
    ("body", "is_page"),
    [
        (b"<!DOCTYPE html><p>", True),
        (b"\n <!-- a --><html>", True),
        (b"<p>", True),
        (b'<?xml version="1.0"?><!DOCTYPE html><html xmlns="x">', True),
        (b'<?xml version="1.0"?><x:html xmlns:x="x">', True),
        (b'<?xml version="1.0"?><rss>', False),
        (b'<?xml version="1.0"?>', False),
        (b"<svg>", False),
        (b"<!-- a --><s:svg>", False),
        (b"text <html>", False),
        (b"\x89PNG\r\n", False),
        (b"", False),
    ],
)
def test_pages_are_told_from_pictures_and_other_xml(body: bytes, is_page: bool) -> None:
    assert looks_like_page(body) is is_page
