"""Pictures of messages come from Discord's own copy, from elsewhere only if that is allowed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from bot.intake import DeadLink, LinkAnsweredBadly
from cogs.requests.pictures.candidates import ImageCandidate
from cogs.requests.pictures.download import download, download_link
from cogs.shared.errors import DiscordLinksOnly, LinksOff, StickerNotSupported

ORIGIN = "https://site.example/cat.png"
PROXY = "https://images-ext-1.discordapp.net/external/x/https/site.example/cat.png"
CDN = "https://cdn.discordapp.com/stickers/1.png"


class Intake:
    """Records what would be requested from the network; the links in `broken` do not answer."""

    def __init__(self, broken: tuple[str, ...] = ()) -> None:
        self.requested: list[str] = []
        self._broken = broken

    async def fetch(self, url: str) -> bytes:
        self.requested.append(url)
        if url in self._broken:
            raise DeadLink
        return b"picture"


def bot_with(links: str, intake: Intake) -> Any:
    settings = SimpleNamespace(links=links)
    return SimpleNamespace(services=SimpleNamespace(settings=settings, intake=intake))


@pytest.mark.parametrize("links", ["any", "discord", "off"])
async def test_an_embed_is_fetched_from_discord(links: str) -> None:
    intake = Intake()
    shown = ImageCandidate("cat.png", url=ORIGIN, proxy_url=PROXY)
    assert await download(bot_with(links, intake), shown) == b"picture"
    assert intake.requested == [PROXY]


async def test_the_origin_is_tried_after_discord_if_links_are_allowed() -> None:
    intake = Intake(broken=(PROXY,))
    shown = ImageCandidate("cat.png", url=ORIGIN, proxy_url=PROXY)
    assert await download(bot_with("any", intake), shown) == b"picture"
    assert intake.requested == [PROXY, ORIGIN]


@pytest.mark.parametrize("links", ["discord", "off"])
async def test_the_origin_is_not_tried_if_links_are_not_allowed(links: str) -> None:
    intake = Intake(broken=(PROXY,))
    shown = ImageCandidate("cat.png", url=ORIGIN, proxy_url=PROXY)
    with pytest.raises(DeadLink):
        await download(bot_with(links, intake), shown)
    assert intake.requested == [PROXY]


async def test_a_proxy_that_is_not_discords_is_not_trusted() -> None:
    intake = Intake()
    shown = ImageCandidate("cat.png", url=ORIGIN, proxy_url="https://site.example/proxy")
    with pytest.raises(DiscordLinksOnly):
        await download(bot_with("discord", intake), shown)
    assert intake.requested == []


@pytest.mark.parametrize("links", ["any", "discord", "off"])
async def test_stickers_are_fetched_and_vector_stickers_are_refused(links: str) -> None:
    intake = Intake()
    await download(bot_with(links, intake), ImageCandidate("wave", url=CDN, proxy_url=CDN))
    assert intake.requested == [CDN]
    with pytest.raises(StickerNotSupported):
        await download(bot_with(links, intake), ImageCandidate("wave", url=CDN, lottie=True))


@pytest.mark.parametrize(
    ("links", "url", "error"),
    [
        ("off", ORIGIN, LinksOff),
        ("off", CDN, LinksOff),
        ("discord", ORIGIN, DiscordLinksOnly),
        ("discord", "https://cdn.discordapp.com.evil.example/x.png", DiscordLinksOnly),
        ("discord", CDN, None),
        ("any", ORIGIN, None),
    ],
)
async def test_typed_links(links: str, url: str, error: type[Exception] | None) -> None:
    intake = Intake()
    user: Any = None
    if error is None:
        assert await download_link(bot_with(links, intake), user, url) == b"picture"
        assert intake.requested == [url]
    else:
        with pytest.raises(error):
            await download_link(bot_with(links, intake), user, url)
        assert intake.requested == []


async def test_other_links_that_answer_404_are_not_renewed() -> None:
    class Missing(Intake):
        async def fetch(self, url: str) -> bytes:
            raise LinkAnsweredBadly(status=404)

    user: Any = None
    with pytest.raises(LinkAnsweredBadly):
        await download_link(bot_with("any", Missing()), user, ORIGIN)
