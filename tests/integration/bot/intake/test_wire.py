"""What is sent to a server: the target byte for byte, the headers, the cookies."""

from __future__ import annotations

import re

import pytest

from bot.intake import DeadLink
from tests.support.intake.hostile_network import Respond, answer, served
from tests.support.intake.pictures import encoded, quarters

PICTURE = encoded(quarters(), "PNG")

SIGNED = [
    "/a.png?x=application%2Fgzip&sig=a%2Fb%3D%3D",
    "/a%28b%29%27c%40d%3Ae.png",
    "/a(b)'c@d:e;f,g!h$i&j=k+l*m.png?a='b'&c=(d)|e[f]&g=h?i/j:k@l",
    "/%7Euser/%41%2e%2E/100%.png?%zz",
    "/x?X-Amz-Credential=A%2F20260101%2Fus-east-1%2Fs3&X-Amz-Signature=0a&b",
    "/attachments/1/2/cat.png?ex=66a1b2c3&is=66a06143&hm=0123456789abcdef&",
]
ENCODED = [
    ("/ümlaut_é.png", "/%C3%BCmlaut_%C3%A9.png"),
    ("/猫.png?名=値", "/%E7%8C%AB.png?%E5%90%8D=%E5%80%A4"),
    ("/🐈%20b.png?x=%2F", "/%F0%9F%90%88%20b.png?x=%2F"),
]


def recorder(seen: list[tuple[str, dict[str, str]]], respond: Respond) -> Respond:
    def record(path: str, headers: dict[str, str]) -> bytes:
        seen.append((path, headers))
        return respond(path, headers)

    return record


@pytest.mark.parametrize("target", SIGNED)
async def test_a_link_is_sent_byte_for_byte(target: str) -> None:
    seen: list[tuple[str, dict[str, str]]] = []
    async with served(recorder(seen, lambda *_: answer(PICTURE))) as (intake, site):
        assert await intake.fetch(site + target) == PICTURE
    assert [path for path, _ in seen] == [target]


@pytest.mark.parametrize(("target", "sent"), ENCODED)
async def test_only_what_is_not_ascii_is_encoded(target: str, sent: str) -> None:
    seen: list[tuple[str, dict[str, str]]] = []
    async with served(recorder(seen, lambda *_: answer(PICTURE))) as (intake, site):
        await intake.fetch(site + target)
    assert [path for path, _ in seen] == [sent]


@pytest.mark.parametrize("target", SIGNED)
async def test_a_redirect_is_followed_byte_for_byte(target: str) -> None:
    seen: list[tuple[str, dict[str, str]]] = []

    def respond(path: str, _: dict[str, str]) -> bytes:
        return answer(b"", "302 F", (f"Location: {target}",)) if path == "/go" else answer(PICTURE)

    async with served(recorder(seen, respond)) as (intake, site):
        assert await intake.fetch(f"{site}/go") == PICTURE
    assert [path for path, _ in seen] == ["/go", target]


@pytest.mark.parametrize(
    ("location", "sent"),
    [
        (b"/caf\xe9.png", "/caf%E9.png"),  # Latin-1
        ("/café.png".encode(), "/caf%C3%A9.png"),  # UTF-8
        (b"/a\xe4/../b%e4?c=\xfc", "/b%e4?c=%FC"),
        (rb"\a\b.png?c=\d", r"/a/b.png?c=\d"),
    ],
)
async def test_the_bytes_of_a_location_are_kept(location: bytes, sent: str) -> None:
    seen: list[tuple[str, dict[str, str]]] = []

    def respond(path: str, _: dict[str, str]) -> bytes:
        if path == "/go":
            return b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: " + location + b"\r\n\r\n"
        return answer(PICTURE)

    async with served(recorder(seen, respond)) as (intake, site):
        assert await intake.fetch(f"{site}/go") == PICTURE
    assert [path for path, _ in seen] == ["/go", sent]


@pytest.mark.parametrize("target", SIGNED)
async def test_the_picture_of_a_page_is_requested_byte_for_byte(target: str) -> None:
    seen: list[tuple[str, dict[str, str]]] = []
    escaped = target.replace("&", "&amp;").replace('"', "&quot;")
    page = f'<html><meta property="og:image" content="{escaped}">'.encode()

    def respond(path: str, _: dict[str, str]) -> bytes:
        return answer(page) if path == "/page" else answer(PICTURE)

    async with served(recorder(seen, respond)) as (intake, site):
        assert await intake.fetch(f"{site}/page") == PICTURE
    assert [path for path, _ in seen] == ["/page", target]


async def test_pictures_are_asked_for_and_pages_are_not() -> None:
    """A host that answers `text/html` in Accept with a viewer page gives the picture."""

    def respond(path: str, headers: dict[str, str]) -> bytes:
        wants_page = "html" in headers["Accept"] or headers["Accept"].startswith("*/*")
        return answer(b"<html>viewer</html>") if wants_page else answer(PICTURE)

    async with served(respond) as (intake, site):
        assert await intake.fetch(f"{site}/a.png") == PICTURE


@pytest.mark.parametrize("host", ["host.test", "cdn.test", "xn--qei.test"])
async def test_the_picture_of_a_page_gets_the_origin_of_the_page(host: str) -> None:
    """A host that gives its pictures to its own pages only."""
    seen: list[tuple[str, dict[str, str]]] = []

    def respond(path: str, headers: dict[str, str]) -> bytes:
        port = headers["Host"].split(":")[1]
        if path == "/deep/page?q=1":
            picture = f"http://{host}:{port}/p.png"
            return answer(f'<html><meta property="og:image" content="{picture}">'.encode())
        return answer(PICTURE)

    hosts = [] if host == "host.test" else [host]
    async with served(recorder(seen, respond), *hosts) as (intake, site):
        assert await intake.fetch(f"{site}/deep/page?q=1") == PICTURE
    (_, page), (_, picture) = seen
    assert "Referer" not in page
    assert picture["Referer"] == f"{site}/"
    assert picture["Accept"] == "image/*"


@pytest.mark.parametrize("named", ["setting", "later", "never"])
async def test_the_user_agent_names_the_operators_address(named: str) -> None:
    """In every request: the first one, redirects, and pictures of a page."""
    seen: list[tuple[str, dict[str, str]]] = []

    def respond(path: str, _: dict[str, str]) -> bytes:
        if path == "/go":
            return answer(b"", "302 Found", ("Location: /page",))
        if path == "/page":
            return answer(b'<html><meta property="og:image" content="/a.png">')
        return answer(PICTURE)

    address = "https://redraw.example/contact"
    contact = address if named == "setting" else ""
    async with served(recorder(seen, respond), contact=contact) as (intake, site):
        if named == "later":
            intake.name_contact(address)
        assert await intake.fetch(f"{site}/go") == PICTURE
    form = r"Redraw/\d+(\.\d+)+ \(%sDiscord bot; a user sent it this link\)"
    expected = form % ("" if named == "never" else re.escape(f"+{address}; "))
    agents = [headers["User-Agent"] for _, headers in seen]
    assert len(agents) == 3
    assert all(re.fullmatch(expected, agent) for agent in agents)


@pytest.mark.parametrize(
    "cookie",
    ["pass=1", "pass=a/b==; Path=/; HttpOnly", "pass=a%20b+c; Path=/p; Max-Age=60; SameSite=Lax"],
)
async def test_a_cookie_is_sent_back_within_one_fetch_and_to_its_host_only(cookie: str) -> None:
    seen: list[tuple[str, dict[str, str]]] = []

    def respond(path: str, headers: dict[str, str]) -> bytes:
        port = headers["Host"].split(":")[1]
        if path == "/p/other":
            return answer(PICTURE)
        if "Cookie" in headers:
            return answer(b"", "302 F", (f"Location: http://other.test:{port}/p/other",))
        return answer(b"", "302 F", (f"Location: {path}", f"Set-Cookie: {cookie}"))

    async with served(recorder(seen, respond), "other.test") as (intake, site):
        for _ in range(2):
            assert await intake.fetch(f"{site}/p/x") == PICTURE
    assert [path for path, _ in seen] == ["/p/x", "/p/x", "/p/other"] * 2
    sent = [headers.get("Cookie") for _, headers in seen]
    assert sent == [None, cookie.split(";")[0], None] * 2


@pytest.mark.parametrize(
    ("name", "ascii_name"),
    [("❤️.test", "xn--qei.test"), ("I❤️.test", "xn--i-7iq.test"), ("☕️.test", "xn--53h.test")],
)
async def test_an_emoji_host_is_found_with_its_variation_selector(
    name: str, ascii_name: str
) -> None:
    assert "\ufe0f" in name
    async with served(lambda *_: answer(PICTURE), ascii_name) as (intake, site):
        assert await intake.fetch(site.replace("host.test", name)) == PICTURE


def head(lines: list[str]) -> bytes:
    return answer(PICTURE, headers=tuple(lines))


@pytest.mark.parametrize(
    "lines",
    [
        ["Content-Security-Policy: " + "x" * 34_000],
        [f"X-Line-{number}: y" for number in range(400)],
        ["Set-Cookie: a=" + "b" * 3000] * 15 + ["Link: " + "c" * 9000],
        ["X-Exact: " + "x" * 64_000],
    ],
)
async def test_a_long_head_is_read(lines: list[str]) -> None:
    async with served(lambda *_: head(lines)) as (intake, site):
        assert await intake.fetch(f"{site}/") == PICTURE


@pytest.mark.parametrize(
    "lines",
    [
        ["X: " + "x" * 66_000],
        ["X: " + "x" * 1000] * 70,
        [f"X-{number}: y" for number in range(7000)],
        ["X: " + "x" * 60_000] * 100,
    ],
)
async def test_a_head_over_64_kib_is_refused(lines: list[str]) -> None:
    async with served(lambda *_: head(lines)) as (intake, site):
        with pytest.raises(DeadLink):
            await intake.fetch(f"{site}/")
