"""The picture that a web page names is found, and the next one if the first is dead."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from bot.intake import (
    Intake,
    LinkForbidden,
    LinkNotFound,
    LinkRefused,
    PageWithoutPicture,
    TooManyRedirects,
    UnsupportedFormat,
)
from tests.support.intake.hostile_network import answer, served
from tests.support.intake.pictures import SMALL, encoded, quarters
from tests.support.processes.sandbox_children import reused_children

PICTURE = encoded(quarters(), "PNG")
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"/>'
TOTAL = 40.0


@pytest.fixture(scope="module", autouse=True)
def _sandbox_children() -> Iterator[None]:
    """Pages are read in the sandbox: the tests share its children."""
    with reused_children():
        yield


def responses(page: bytes, kind: str = "text/html") -> dict[str, bytes]:
    """The responses of a server, by path; `/picture.png` is a picture."""
    return {
        "/a/page": answer(page, kind=kind),
        "/picture.png": answer(PICTURE),
        "/a/picture.png": answer(PICTURE),
        "/forbidden": answer(b"", "403 Forbidden"),
        "/broken": b"",
        "/drawing.svg": answer(SVG),
        "/text": answer(b"no picture"),
        "/loop": answer(b"", "302 Found", ("Location: /loop",)),
    }


async def fetched(page: str | bytes, kind: str = "text/html") -> bytes:
    known = responses(page if isinstance(page, bytes) else page.encode(), kind)
    missing = answer(b"", "404 Not Found")
    async with served(lambda path, _: known.get(path, missing)) as (intake, site):
        return await intake.fetch(f"{site}/a/page")


NAMES = [
    '<meta property="og:image" content="/picture.png">',
    '<meta property="OG:Image" content="/picture.png">',
    "<META CONTENT=/picture.png PROPERTY=og:image:url>",
    '<meta name="og:image:secure_url" content=" /picture.png\n">',
    '<meta name="twitter:image" content="/picture.png">',
    '<meta property="twitter:image:src" content="/picture.png">',
    '<meta name="Twitter:Image" property="og:title" content="/picture.png">',
    '<meta property="og:title og:image" content="/picture.png">',
    '<link rel="image_src" href="/picture.png">',
    '<LINK HREF="/picture.png" REL="Shortcut IMAGE_SRC">',
    '<meta itemprop="image" content="/picture.png">',
    '<img itemprop="image" src="/picture.png">',
    '<meta itemprop="contentUrl" content="picture.png">',
    '<link itemprop="thumbnailUrl" href="/picture.png"/>',
    '<div itemprop="name image"><a itemprop="image" href="picture.png">x</a></div>',
    '<base href="/a/"><meta property="og:image" content="picture.png">',
]


@pytest.mark.parametrize("element", NAMES)
async def test_every_usual_way_to_name_a_picture_is_understood(element: str) -> None:
    assert await fetched(f"<!doctype html><html><head>{element}</head>text</html>") == PICTURE


XHTML = (
    '<?xml version="1.0" encoding="{charset}"?>\n<!-- a page -->\n'
    '<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN" "x.dtd">\n'
    '<html xmlns="http://www.w3.org/1999/xhtml"><head>\n'
    '<meta property="og:image" content="/picture.png?a=1&amp;b={text}" /></head></html>'
)


@pytest.mark.parametrize(
    ("charset", "codec", "mark"),
    [
        ("utf-8", "utf-8", b""),
        ("utf-8", "utf-8", b"\xef\xbb\xbf"),
        ("utf-16", "utf-16-le", b"\xff\xfe"),
        ("utf-16", "utf-16-be", b"\xfe\xff"),
        ("utf-16", "utf-16-le", b""),
        ("iso-8859-1", "latin-1", b""),
        ("windows-1251", "cp1251", b""),
        ("Shift_JIS", "shift_jis", b""),
        ("EUC-KR", "euc_kr", b""),
        ("gb2312", "gbk", b""),
    ],
)
@pytest.mark.parametrize("xml", [True, False])
async def test_pages_of_every_encoding_are_read(
    charset: str, codec: str, mark: bytes, xml: bool
) -> None:
    text = {"cp1251": "ж", "shift_jis": "猫", "euc_kr": "한", "gbk": "猫"}.get(codec, "é")
    page = XHTML.format(charset=charset, text=text)
    if not xml:
        page = page.partition("\n")[2].replace("<head>", f'<head><meta charset="{charset}">')
    sent: list[str] = []

    def respond(path: str, _: dict[str, str]) -> bytes:
        sent.append(path)
        return answer(mark + page.encode(codec)) if path == "/page" else answer(PICTURE)

    async with served(respond) as (intake, site):
        assert await intake.fetch(f"{site}/page") == PICTURE
    encoded_text = "".join(f"%{byte:02X}" for byte in text.encode())
    assert sent == ["/page", f"/picture.png?a=1&b={encoded_text}"]


def naming(*addresses: str) -> str:
    metas = "".join(f'<meta property="og:image" content="{address}">' for address in addresses)
    return f"<html><head>{metas}</head></html>"


@pytest.mark.parametrize(
    "first",
    [
        "/missing",
        "/forbidden",
        "/broken",
        "/loop",
        "/drawing.svg",
        "/text",
        "/a/page",
        "http://inside.test/x.png",
        "http://127.0.0.1/x.png",
        "data:image/png;base64,AA==",
        "http://user@host.test/",
        "http://[",
    ],
)
async def test_the_next_picture_is_used_if_the_first_is_dead(first: str) -> None:
    assert await fetched(naming(first, "/picture.png")) == PICTURE
    twitter = '<link rel="image_src" href="/picture.png">'
    assert await fetched(naming(first) + twitter) == PICTURE


@pytest.mark.parametrize(
    ("addresses", "error"),
    [
        (["/missing", "/forbidden"], LinkNotFound),
        (["/forbidden", "/missing", "/a/page"], LinkForbidden),
        (["http://10.0.0.1/", "/missing"], LinkRefused),
        (["/loop", "/loop?2"], TooManyRedirects),
        (["/a/page"], PageWithoutPicture),
    ],
)
async def test_if_all_are_dead_the_first_one_s_error_is_reported(
    addresses: list[str], error: type[Exception]
) -> None:
    with pytest.raises(error):
        await fetched(naming(*addresses))


async def test_a_page_that_names_a_drawing_only_gives_the_drawing() -> None:
    assert await fetched(naming("/missing", "/drawing.svg")) == SVG
    async with Intake() as intake:
        with pytest.raises(UnsupportedFormat, match="SVG"):
            await intake.from_bytes(SVG, **SMALL)


async def test_the_next_picture_is_used_if_the_first_one_s_server_is_silent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A picture may take a quarter of the time. The clock jumps when a server is silent."""
    loop = asyncio.get_running_loop()
    time = loop.time
    jumps: list[float] = []
    monkeypatch.setattr(loop, "time", lambda: time() + sum(jumps))

    async def be_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        jumps.append(TOTAL / 4)
        await reader.read()
        writer.close()

    async with await asyncio.start_server(be_silent, "127.0.0.1", 0) as silent:
        port = silent.sockets[0].getsockname()[1]
        page = naming(f"http://host.test:{port}/", f"http://host.test:{port}/2", "/picture.png")
        known = responses(page.encode())
        async with served(lambda path, _: known[path], ports=(port,), total_seconds=TOTAL) as (
            intake,
            site,
        ):
            assert await intake.fetch(f"{site}/a/page") == PICTURE
    assert len(jumps) == 2


@pytest.mark.parametrize("base", ["http://[", "javascript:alert(1)", "ftp://host.test/"])
async def test_an_invalid_base_is_ignored(base: str) -> None:
    assert await fetched(f'<base href="{base}">' + naming("/picture.png")) == PICTURE


async def test_at_most_eight_pictures_of_a_page_are_tried() -> None:
    assert await fetched(naming(*(f"/missing{n}" for n in range(7)), "/picture.png")) == PICTURE
    with pytest.raises(LinkNotFound):
        await fetched(naming(*(f"/missing{n}" for n in range(8)), "/picture.png"))


@pytest.mark.parametrize(
    "page",
    [
        "<!-- <meta property='og:image' content='/picture.png'> --><html></html>",
        '<html><script>\'<meta property="og:image" content="/picture.png">\'</script></html>',
        "<html><meta property='og:image:width' content='/picture.png'></html>",
        "<html><img src='/picture.png'><a rel='image_src' href='/picture.png'></html>",
    ],
)
async def test_what_only_looks_like_a_name_is_ignored(page: str) -> None:
    with pytest.raises(PageWithoutPicture):
        await fetched(page)
