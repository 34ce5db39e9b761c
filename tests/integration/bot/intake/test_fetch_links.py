"""Links that users paste work; hostile servers are stopped by the time and size limits."""

from __future__ import annotations

import asyncio
import gc
import gzip
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from bot.intake import (
    BadLink,
    DeadLink,
    FileTooLarge,
    Intake,
    IntakeLimits,
    LinkAnsweredBadly,
    LinkError,
    LinkRefused,
    LinkTooSlow,
    PageWithoutPicture,
    PictureError,
    TooManyRedirects,
)
from tests.support.hostile_network import HOSTILE, answer, hostile_server, name_server, web_server
from tests.support.intake_pictures import encoded, quarters

PICTURE = encoded(quarters(), "PNG")


@asynccontextmanager
async def served(
    respond: Callable[[str, dict[str, str]], bytes], **limits: float
) -> AsyncIterator[tuple[Intake, str]]:
    """An intake, and the address of a loopback server that it may reach as an allowed host."""
    async with web_server(respond) as port, name_server() as (names, resolve):
        names.answers["host.test"] = [["127.0.0.1"]]
        names.answers["inside.test"] = [["10.0.0.1"]]
        allowed = IntakeLimits(allowed_ports=(80, port), allowed_hosts=("host.test",), **limits)  # type: ignore[arg-type]
        async with Intake(allowed, resolve=resolve) as intake:
            yield intake, f"http://host.test:{port}"


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
    assert all(headers.keys() <= allowed for headers in seen)


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
    "head",
    [
        '<meta property="og:image" content="/picture.png">',
        '<meta content="picture.png" property=og:image>',
        "<META PROPERTY='og:image' CONTENT='/picture.png?a=1&amp;b=2' />",
        '<meta name="og:image" content="//host.test:{port}/picture.png">',
        '<meta property="og:image:secure_url" content="/picture.png">',
        '<meta name="twitter:image" content="/picture.png">',
        '<meta name="twitter:image" content="/w"><meta property="og:image" content="/picture.png">',
        '<meta property="og:image" content=""><meta property="og:image" content="/picture.png">',
    ],
)
async def test_a_page_that_names_a_picture_gives_that_picture(head: str) -> None:
    def respond(path: str, headers: dict[str, str]) -> bytes:
        if path.startswith("/picture.png"):
            return answer(PICTURE)
        port = headers["Host"].split(":")[1]
        body = PAGE.format(head.replace("{port}", port)).encode()
        # The declared content type is ignored.
        return answer(body, kind="image/png")

    async with served(respond) as (intake, site):
        assert await intake.fetch(f"{site}/page") == PICTURE


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
        "http://example.com\\@127.0.0.1/",
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


@pytest.mark.parametrize("packed", [gzip.compress(PICTURE), zlib.compress(PICTURE)])
async def test_a_compressed_response_is_decompressed(packed: bytes) -> None:
    name = "gzip" if packed[:2] == b"\x1f\x8b" else "deflate"
    reply = answer(packed, headers=(f"Content-Encoding: {name}",))
    async with served(lambda *_: reply) as (intake, site):
        assert await intake.fetch(f"{site}/") == PICTURE


@pytest.mark.parametrize("packed", [False, True])
async def test_the_limit_of_bytes_is_exact(packed: bool) -> None:
    def respond(path: str, _: dict[str, str]) -> bytes:
        body = bytes(int(path.strip("/")))
        if packed:
            return answer(gzip.compress(body), headers=("Content-Encoding: gzip",))
        return answer(body)

    async with served(respond, max_bytes=100_000) as (intake, site):
        assert len(await intake.fetch(f"{site}/100000")) == 100_000
        with pytest.raises(FileTooLarge):
            await intake.fetch(f"{site}/100001")


async def _outcome_of(intake: Intake, link: str) -> tuple[str, float]:
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        await intake.fetch(link)
    except (LinkError, PictureError) as error:
        return type(error).__name__, loop.time() - began
    return "fetched", loop.time() - began


@asynccontextmanager
async def hostile(
    seconds: float,
) -> AsyncIterator[tuple[Intake, str, Callable[[], dict[str, int]]]]:
    with hostile_server() as (port, sent):
        async with name_server() as (names, resolve):
            names.answers["host.test"] = [["127.0.0.1"]]
            limits = IntakeLimits(
                total_seconds=seconds, allowed_ports=(port,), allowed_hosts=("host.test",)
            )
            async with Intake(limits, resolve=resolve) as intake:
                yield intake, f"http://host.test:{port}", sent


EXPECTED_ERRORS = {
    "drip": LinkTooSlow,
    "slow-head": LinkTooSlow,
    "silent": LinkTooSlow,
    "chunks": LinkTooSlow,
    "continue": LinkTooSlow,
    "endless": FileTooLarge,
    "gzip": FileTooLarge,
    "empty-gzip": FileTooLarge,
    "headers": DeadLink,
    "long-header": DeadLink,
    "trailers": DeadLink,
    "loop": TooManyRedirects,
}


async def test_every_hostile_server_is_stopped_by_the_limits() -> None:
    async with hostile(seconds=1) as (intake, site, sent):
        for kind in HOSTILE:
            name, taken = await _outcome_of(intake, f"{site}/{kind}")
            # On a busy machine the time limit may come first.
            assert name in (EXPECTED_ERRORS[kind].__name__, LinkTooSlow.__name__), kind
            assert taken < 3, kind
    # The count includes bytes in the system's buffers.
    assert sent()
    assert all(count < 36 * 2**20 for count in sent().values()), sent()


async def _lag_among_hostile_servers(seconds: float) -> float:
    """The 99th percentile of the loop's lag in seconds during 108 hostile fetches."""
    loop = asyncio.get_running_loop()
    lags: list[float] = []

    async def watch_the_loop() -> None:
        while True:
            before = loop.time()
            await asyncio.sleep(0.005)
            lags.append(loop.time() - before - 0.005)

    async with hostile(seconds) as (intake, site, _):
        watch = asyncio.create_task(watch_the_loop())
        links = [f"{site}/{HOSTILE[number % len(HOSTILE)]}" for number in range(108)]
        ends = await asyncio.gather(*(_outcome_of(intake, link) for link in links))
        watch.cancel()
    assert "fetched" not in {name for name, _ in ends}
    assert max(taken for _, taken in ends) < seconds + 2
    return sorted(lags)[int(len(lags) * 0.99)]


@pytest.mark.parametrize("seconds", [3.0, pytest.param(15.0, marks=pytest.mark.slow)])
async def test_a_hundred_hostile_servers_do_not_stall_the_bot(seconds: float) -> None:
    # Exclude the objects of the test run from garbage collection.
    gc.collect()
    gc.freeze()
    # Other load only adds lag, so the best of three runs counts.
    lag = 1.0
    for _ in range(3):
        if lag >= 0.1:
            lag = await _lag_among_hostile_servers(seconds)
    gc.unfreeze()
    assert lag < 0.1
