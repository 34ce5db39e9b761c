"""The error for a status tells the user what to do."""

from __future__ import annotations

import pytest

from bot.i18n.error_text import translate_error
from bot.i18n.translate import LANGUAGES
from bot.intake import (
    DiscordLinkExpired,
    LinkAnsweredBadly,
    LinkForbidden,
    LinkNotFound,
    LinkRateLimited,
    LinkServerFailed,
)
from tests.support.intake.hostile_network import answer, served

ERRORS: list[tuple[int, type[LinkAnsweredBadly], str]] = [
    (300, LinkAnsweredBadly, "300"),
    (400, LinkAnsweredBadly, "400"),
    (401, LinkForbidden, "save the picture and attach it"),
    (403, LinkForbidden, "save the picture and attach it"),
    (451, LinkForbidden, "save the picture and attach it"),
    (404, LinkNotFound, "no such file"),
    (410, LinkNotFound, "no such file"),
    (418, LinkAnsweredBadly, "418"),
    (429, LinkRateLimited, "too many requests"),
    (500, LinkServerFailed, "try again later"),
    (503, LinkServerFailed, "try again later"),
    (599, LinkServerFailed, "try again later"),
]


@pytest.mark.parametrize(("status", "error", "words"), ERRORS)
async def test_the_sentence_fits_the_status(
    status: int, error: type[LinkAnsweredBadly], words: str
) -> None:
    async with served(lambda *_: answer(b"gone", f"{status} X")) as (intake, site):
        with pytest.raises(error, match=words) as raised:
            await intake.fetch(f"{site}/attachments/1/2/a.png")
    assert type(raised.value) is error
    assert str(status) in str(raised.value)
    sentences = {translate_error(language, raised.value) for language in LANGUAGES}
    assert len(sentences) == len(LANGUAGES)


@pytest.mark.parametrize("status", [401, 403, 404, 410])
@pytest.mark.parametrize(
    "link",
    [
        "http://cdn.discordapp.com:{port}/attachments/1/2/a.png?ex=66a1b2c3&is=66a06143&hm=0a&",
        "http://media.discordapp.net:{port}/attachments/1/2/a.png?ex=66a1b2c3&width=3",
        "http://CDN.discordapp.com.:{port}/ephemeral-attachments/1/2/a.png",
    ],
)
async def test_an_expired_discord_link_is_named(link: str, status: int) -> None:
    hosts = ("cdn.discordapp.com", "media.discordapp.net")
    async with served(lambda *_: answer(b"", f"{status} X"), *hosts) as (intake, site):
        with pytest.raises(DiscordLinkExpired, match="expired"):
            await intake.fetch(link.format(port=site.rpartition(":")[2]))


@pytest.mark.parametrize(
    ("link", "status"),
    [
        ("http://cdn.discordapp.com:{port}/avatars/1/2.png", 404),
        ("http://cdn.discordapp.com:{port}/attachments/1/2/a.png", 500),
        ("http://discordapp.com.test:{port}/attachments/1/2/a.png", 404),
    ],
)
async def test_other_links_are_not_called_expired(link: str, status: int) -> None:
    hosts = ("cdn.discordapp.com", "discordapp.com.test")
    async with served(lambda *_: answer(b"", f"{status} X"), *hosts) as (intake, site):
        with pytest.raises((LinkNotFound, LinkServerFailed)):
            await intake.fetch(link.format(port=site.rpartition(":")[2]))
