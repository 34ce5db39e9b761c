"""Links are fetched, redirects and pages are followed, within the limits."""

from __future__ import annotations

import pytest

from bot.intake import (
    BadLink,
    DeadLink,
    Intake,
    IntakeLimits,
    LinkAnsweredBadly,
    LinkError,
    LinkRefused,
    PageWithoutPicture,
    TooManyRedirects,
)
from tests.support.intake.hostile_network import answer, name_server, served
from tests.support.intake.pictures import encoded, quarters

PICTURE = encoded(quarters(), "PNG")


async def test_a_linked_picture_is_fetched() -> None:
    async with served(lambda *_: answer(PICTURE)) as (intake, site):
        assert await intake.fetch(f"{site}/a.png?b=c%20d#e") == PICTURE
        # Angle brackets suppress Discord's preview.
        assert await intake.fetch(f" <{site}/a.png> ") == PICTURE


async def test_requests_carry_no_data_of_the_user_or_the_host() -> None:
    seen: list[dict[str, str]] = []

    def respond(path: str, headers: dict[str, str]) -> bytes:
        seen.append(headers)
        if path == "/1":
            return answer(b"", "302 Found", ("Location: /2", "Set-Cookie: a=b; Path=/"))
        return answer(PICTURE)

    async with served(respond) as (intake, site):
        await intake.fetch(f"{site}/1")
    assert len(seen) == 2
    assert "Redraw" in seen[0]["User-Agent"]
    allowed = {"Host", "User-Agent", "Accept", "Accept-Encoding", "Connection"}
    assert seen[0].keys() <= allowed
    assert seen[1].keys() <= allowed | {"Cookie"}


@pytest.mark.parametrize("count", [1, 5])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_up_to_five_redirects_are_followed(count: int, status: int) -> None:
    def respond(path: str, _: dict[str, str]) -> bytes:
        left = int(path.strip("/"))
        return answer(b"", f"{status} X", (f"Location: {left - 1}",)) if left else answer(PICTURE)

    async with served(respond) as (intake, site):
        assert await intake.fetch(f"{site}/{count}") == PICTURE
        with pytest.raises(TooManyRedirects, match="more than 5 times"):
            await intake.fetch(f"{site}/6")


PAGE = "<!doctype html><html><head><title>x</title>{}</head><body>text</body></html>"


@pytest.mark.parametrize(
    ("head", "error"),
    [
        ("", PageWithoutPicture),
        ('<meta property="og:title" content="/picture.png">', PageWithoutPicture),
        ('<meta property="og:image" content="/page">', PageWithoutPicture),
        ('<meta property="og:image" content="http://inside.test/">', LinkRefused),
        ('<meta property="og:image" content="http://127.0.0.1/">', LinkRefused),
        ('<meta property="og:image" content="http://a:b@host.test/">', BadLink),
        ('<meta property="og:image" content="file:///etc/passwd">', BadLink),
        ('<meta property="og:image" content="data:image/png;base64,AA==">', BadLink),
        ('<meta property="og:image" content="/loop">', TooManyRedirects),
    ],
)
async def test_the_picture_of_a_page_is_held_to_the_same_rules(
    head: str, error: type[LinkError]
) -> None:
    def respond(path: str, _: dict[str, str]) -> bytes:
        if path == "/loop":
            return answer(b"", "302 Found", ("Location: /loop",))
        return answer(PAGE.format(head).encode(), kind="text/html")

    async with served(respond) as (intake, site):
        with pytest.raises(error):
            await intake.fetch(f"{site}/page")


async def test_a_page_that_is_hard_to_read_is_a_page_without_a_picture() -> None:
    page = b"<" * 2_000_000

    async with served(lambda *_: answer(page), decode_seconds=2) as (intake, site):
        with pytest.raises(PageWithoutPicture):
            await intake.fetch(f"{site}/page")


@pytest.mark.parametrize(
    "viewer",
    [
        "https://www.google.com/imgres?h=1&imgurl=http%3A%2F%2Fhost.test%3A{port}%2Fa.png",
        "https://www.reddit.com/media?url=http%3A%2F%2Fhost.test%3A{port}%2Fa.png",
        "https://google.de/url?q=http://host.test:{port}/a.png",
    ],
)
async def test_a_redirect_or_page_that_names_a_viewer_page_leads_to_the_file(viewer: str) -> None:
    def respond(path: str, headers: dict[str, str]) -> bytes:
        link = viewer.format(port=headers["Host"].split(":")[1])
        if path == "/short":
            return answer(b"", "302 Found", (f"Location: {link}",))
        if path == "/page":
            return answer(PAGE.format(f'<meta property="og:image" content="{link}">').encode())
        return answer(PICTURE)

    async with served(respond) as (intake, site):
        for path in ("short", "page"):
            assert await intake.fetch(f"{site}/{path}") == PICTURE


async def test_svg_is_passed_to_the_decoder() -> None:
    drawing = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>'
    async with served(lambda *_: answer(drawing)) as (intake, site):
        assert await intake.fetch(f"{site}/a.svg") == drawing


@pytest.mark.parametrize("status", [300, 400, 403, 404, 410, 429, 500, 503])
async def test_an_error_status_is_named(status: int) -> None:
    async with served(lambda *_: answer(b"gone", f"{status} X")) as (intake, site):
        with pytest.raises(LinkAnsweredBadly, match=str(status)):
            await intake.fetch(f"{site}/")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "cat.png",
        "www.example.com/cat.png",
        "ftp://example.com/cat.png",
        "file:///etc/passwd",
        "gopher://example.com/",
        "javascript:alert(1)",
        "http://",
        "http:///cat.png",
        "http://user@example.com/",
        "http://user:word@example.com/",
        "http://@example.com/",
        "http://[::1",
        "http://example.com:99999/",
        "//example.com/cat.png",
    ],
)
async def test_invalid_links_are_refused(text: str) -> None:
    async with Intake() as intake:
        with pytest.raises(BadLink, match="must start with http"):
            await intake.fetch(text)


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 1\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope",
        b"HTTP/1.1 302 Found\r\nLocation: /\xff\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
async def test_invalid_responses_are_dead_links(reply: bytes) -> None:
    async with served(lambda *_: reply) as (intake, site):
        with pytest.raises((DeadLink, TooManyRedirects)):
            await intake.fetch(f"{site}/")


async def test_an_unreachable_server_is_a_dead_link() -> None:
    async with name_server() as (names, resolve):
        names.answers["host.test"] = [["127.0.0.1"]]
        limits = IntakeLimits(allowed_ports=(1,), allowed_hosts=("host.test",))
        async with Intake(limits, resolve=resolve) as intake:
            for link in ("http://host.test:1/", "http://nowhere.test:1/"):
                with pytest.raises(DeadLink):
                    await intake.fetch(link)
