"""No spelling of a link connects to a non-public address. Observed at the socket layer."""

from __future__ import annotations

import random
from html import escape
from ipaddress import IPv4Address, IPv6Address
from itertools import cycle
from urllib.parse import quote

import pytest

from bot.intake import DeadLink, Intake, IntakeLimits, LinkError, LinkRefused
from tests.support.intake.hostile_network import (
    answer,
    name_server,
    served,
    watched_connections,
    web_server,
)
from tests.support.intake.hostile_urls import hostile_urls, just_outside

WRAPPERS = (
    "{}",
    "look at this: ({}), please",
    "[cat]({})",
    "https://www.google.com/imgres?h=1&imgurl={}",
    "https://www.google.de/url?url={}",
    "https://www.reddit.com/media?url={}",
)
"""Pasted text and viewer links in which a hostile link may arrive."""


def wrapped(url: str, wrapper: str) -> str:
    return wrapper.format(quote(url, safe="") if "=" in wrapper else url)


@pytest.mark.parametrize(
    ("samples", "least"),
    [(1, 500), pytest.param(60, 20_000, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])],
)
async def test_hostile_links_make_no_connection(samples: int, least: int) -> None:
    urls = hostile_urls(samples)
    assert len(set(urls)) >= least
    async with name_server() as (names, resolve), Intake(resolve=resolve) as intake:
        names.answers["localhost"] = [["127.0.0.1", "::1"]]
        with watched_connections() as seen:
            for url, wrapper in zip(urls, cycle(WRAPPERS), strict=False):
                with pytest.raises(LinkError):
                    await intake.fetch(wrapped(url, wrapper))
        assert seen == []
    print(f"{len(set(urls))} hostile links, no connection")


async def test_hostile_pictures_of_pages_make_no_connection() -> None:
    urls = hostile_urls()[::8]

    def respond(path: str, _: dict[str, str]) -> bytes:
        named = escape(urls[int(path.strip("/"))])
        return answer(f'<html><meta property="og:image" content="{named}">'.encode())

    async with served(respond) as (intake, site):
        port = int(site.rpartition(":")[2])
        with watched_connections(allowed=("127.0.0.1", port)) as seen:
            for index in range(len(urls)):
                with pytest.raises(LinkError):
                    await intake.fetch(f"{site}/{index}")
        assert seen == []


async def test_hostile_redirects_make_no_connection() -> None:
    """Chains of one to five redirects through a public server, to every third hostile address."""
    urls = hostile_urls()[::3]
    chance = random.Random(4)

    def respond(path: str, _: dict[str, str]) -> bytes:
        hops, index = map(int, path.strip("/").split("-"))
        target = f"/{hops - 1}-{index}" if hops > 1 else urls[index]
        # Non-ASCII hosts are sent as UTF-8.
        head = f"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: {target}\r\n\r\n"
        return head.encode()

    async with web_server(respond) as port, name_server() as (names, resolve):
        names.answers["honest.test"] = [["127.0.0.1"]]
        names.answers["localhost"] = [["127.0.0.1", "::1"]]
        limits = IntakeLimits(allowed_ports=(80, 443, port), allowed_hosts=("honest.test",))
        async with Intake(limits, resolve=resolve) as intake:
            with watched_connections(allowed=("127.0.0.1", port)) as seen:
                for index in range(len(urls)):
                    with pytest.raises(LinkError):
                        await intake.fetch(
                            f"http://honest.test:{port}/{chance.randint(1, 5)}-{index}"
                        )
            assert seen == []


async def test_public_addresses_next_to_denied_ranges_are_allowed() -> None:
    addresses = just_outside()
    public = [text for text in addresses if ":" not in text]
    assert len(public) >= 25
    links = {f"http://[{text}]/" if ":" in text else f"http://{text}/": text for text in addresses}
    links |= {f"https://[::ffff:{text}]/": str(IPv6Address(f"::ffff:{text}")) for text in public}
    links |= {f"http://[64:ff9b::{text}]/": str(IPv6Address(f"64:ff9b::{text}")) for text in public}
    async with name_server() as (names, resolve), Intake(resolve=resolve) as intake:
        for number, text in enumerate(addresses):
            names.answers[f"host{number}.test"] = [[text]]
            links[f"https://host{number}.test/"] = text
        assert len(links) >= 100
        for link, text in links.items():
            with watched_connections() as seen, pytest.raises(DeadLink):
                await intake.fetch(link)
            assert [IPv6Address(h) if ":" in h else IPv4Address(h) for h, _ in seen] == [
                IPv6Address(text) if ":" in text else IPv4Address(text)
            ], link


@pytest.mark.parametrize("bad", ["10.0.0.1", "127.0.0.1", "169.254.169.254", "::1", "fd00::1"])
@pytest.mark.parametrize("place", [0, 1, 2])
async def test_a_name_with_one_bad_address_is_refused(bad: str, place: int) -> None:
    async with name_server() as (names, resolve), Intake(resolve=resolve) as intake:
        good = ["93.184.216.34", "2606:2800:220:1::1"]
        names.answers["mixed.test"] = [[*good[:place], bad, *good[place:]]]
        with watched_connections() as seen, pytest.raises(LinkRefused):
            await intake.fetch("http://mixed.test/")
        assert seen == []


async def test_a_name_is_resolved_once_and_that_address_is_connected_to() -> None:
    """A name whose answer changes between the check and the connection gains nothing."""
    async with name_server() as (names, resolve), Intake(resolve=resolve) as intake:
        names.answers["rebind.test"] = [["93.184.216.34"], ["127.0.0.1"]]
        with watched_connections() as seen:
            with pytest.raises(DeadLink):
                await intake.fetch("http://rebind.test/")
            assert seen == [("93.184.216.34", 80)]
            assert names.asked["rebind.test"] == 1
            with pytest.raises(LinkRefused):
                await intake.fetch("http://rebind.test/")
        assert seen == [("93.184.216.34", 80)]


async def test_every_good_address_of_a_name_is_tried() -> None:
    async with name_server() as (names, resolve), Intake(resolve=resolve) as intake:
        names.answers["two.test"] = [["93.184.216.34", "93.184.216.35"]]
        with watched_connections() as seen, pytest.raises(DeadLink):
            await intake.fetch("http://two.test/")
        assert {host for host, _ in seen} == {"93.184.216.34", "93.184.216.35"}


@pytest.mark.parametrize("port", [22, 25, 81, 444, 8080, 0, 65535])
async def test_other_ports_are_refused(port: int) -> None:
    async with name_server() as (names, resolve), Intake(resolve=resolve) as intake:
        names.answers["good.test"] = [["93.184.216.34"]]
        with watched_connections() as seen, pytest.raises(LinkRefused):
            await intake.fetch(f"http://good.test:{port}/")
        assert seen == []
        assert names.asked["good.test"] == 0


async def test_an_allowed_host_is_reached_by_its_exact_name_only() -> None:
    async with web_server(lambda *_: answer(b"picture")) as port, name_server() as (names, resolve):
        names.answers["nas.test"] = [["127.0.0.1"]]
        names.answers["other.test"] = [["127.0.0.1"]]
        names.answers["sub.nas.test"] = [["127.0.0.1"]]
        limits = IntakeLimits(allowed_ports=(port,), allowed_hosts=("nas.test",))
        async with Intake(limits, resolve=resolve) as intake:
            assert await intake.fetch(f"http://nas.test:{port}/") == b"picture"
            assert await intake.fetch(f"http://NAS.test.:{port}/") == b"picture"
            for host in ("other.test", "sub.nas.test", "127.0.0.1"):
                with pytest.raises(LinkRefused):
                    await intake.fetch(f"http://{host}:{port}/")


@pytest.mark.parametrize("written", ["nas.test", " NAS.Test. "])
async def test_hosts_in_settings_are_normalized(written: str) -> None:
    limits = IntakeLimits(denied_hosts=(written,))
    async with Intake(limits) as intake:
        with watched_connections() as seen, pytest.raises(LinkRefused):
            await intake.fetch("http://www.nas.test/")
        assert seen == []


@pytest.mark.parametrize("host", ["evil.test", "www.evil.test", "EVIL.test.", "a.b.evil.test"])
async def test_a_denied_host_is_not_resolved(host: str) -> None:
    limits = IntakeLimits(denied_hosts=("evil.test",), allowed_hosts=("evil.test",))
    async with name_server() as (names, resolve), Intake(limits, resolve=resolve) as intake:
        with watched_connections() as seen, pytest.raises(LinkRefused):
            await intake.fetch(f"http://{host}/")
        assert seen == []
        assert not names.asked


async def test_a_host_with_a_denied_suffix_but_other_domain_is_allowed() -> None:
    limits = IntakeLimits(denied_hosts=("evil.test",))
    async with name_server() as (names, resolve), Intake(limits, resolve=resolve) as intake:
        names.answers["notevil.test"] = [["93.184.216.34"]]
        with watched_connections() as seen, pytest.raises(DeadLink):
            await intake.fetch("http://notevil.test/")
        assert seen == [("93.184.216.34", 80)]


async def test_proxies_of_the_environment_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with name_server() as (names, resolve), Intake(resolve=resolve) as intake:
        names.answers["good.test"] = [["93.184.216.34"]]
        with watched_connections() as seen, pytest.raises(DeadLink):
            await intake.fetch("http://good.test/")
        assert seen == [("93.184.216.34", 80)]


async def test_the_error_text_reveals_nothing_about_the_network() -> None:
    async with name_server() as (names, resolve), Intake(resolve=resolve) as intake:
        names.answers["inside.test"] = [["10.1.2.3"]]
        sentences = set()
        for link in ("http://inside.test/", "http://10.1.2.3/", "http://x.test:22/"):
            with pytest.raises(LinkRefused) as raised:
                await intake.fetch(link)
            sentences.add(str(raised.value))
        assert len(sentences) == 1
        assert "10.1" not in sentences.pop()
