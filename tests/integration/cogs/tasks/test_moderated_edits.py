"""The rules of `/img2img` hold for `/edit` and `/imagine`: moderation, channels, limits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from bot.moderation.detectors.prompt_rules import RuleKind
from bot.moderation.model import EVERYWHERE
from tests.support.moderation.discord import (
    BAD,
    BAD_WORD,
    CAT,
    ModeratedServer,
    open_moderated_server,
    pictures_in,
    said,
)
from tests.support.simulated_discord import text_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

PROMPT_REFUSED = "This prompt is not allowed here."
SOURCE_REFUSED = "This picture cannot be used here: the image check refused it."
RESULT_REFUSED = "The result is not shown: the image check refused it."


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ModeratedServer]:
    folder = tmp_path_factory.mktemp("moderated")
    async with open_moderated_server(folder, model="noise-edit") as opened:
        await opened.open_log()
        await opened.services.moderation.lists.add_rule(EVERYWHERE, RuleKind.WORD, "wolf")
        yield opened


async def ask(server: ModeratedServer, command: str, user: Any = None, **options: Any) -> str:
    """Use a command in the ordinary channel; what the user alone was told."""
    result = await (user or server.alice).slash(server.channel, command, **options)
    await server.sim.settled()
    return said(result)


async def entry_files(server: ModeratedServer, number: int) -> list[str]:
    """The names of the files in the newest entry of the log, which get there after its text."""
    async with asyncio.timeout(60):
        # simcord has no event for a changed message.
        while len(server.entry.attachments) != number:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    return [file.filename.removeprefix("SPOILER_") for file in server.entry.attachments]


def files(server: ModeratedServer) -> set[Path]:
    return set((server.services.settings.data_dir / "pictures").iterdir())


@pytest.mark.parametrize("place", ["image", "image_2", "image_4"])
async def test_every_picture_of_an_edit_is_checked(server: ModeratedServer, place: str) -> None:
    posted, stored = len(pictures_in(server.channel)), files(server)
    pictures = {"image": CAT, "image_2": CAT, "image_3": CAT, "image_4": CAT, place: BAD}
    assert await ask(server, "edit", instruction="combine them", **pictures) == SOURCE_REFUSED
    assert len(pictures_in(server.channel)) == posted
    assert files(server) == stored
    assert "source picture of" in text_of(server.entry)


async def test_a_harmless_edit_is_answered(server: ModeratedServer) -> None:
    posted = len(pictures_in(server.channel))
    assert await ask(server, "edit", instruction="combine them", image=CAT, image_2=CAT) == ""
    assert len(pictures_in(server.channel)) == posted + 1


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("edit", {"instruction": "put a wоlf in it", "image": CAT}),
        ("imagine", {"prompt": "a w o l f"}),
    ],
)
async def test_the_text_of_every_command_is_checked(
    server: ModeratedServer, command: str, options: dict[str, Any]
) -> None:
    posted = len(pictures_in(server.channel))
    assert await ask(server, command, **options) == PROMPT_REFUSED
    assert len(pictures_in(server.channel)) == posted


async def test_a_result_that_was_drawn_from_text_is_checked(server: ModeratedServer) -> None:
    posted = len(pictures_in(server.channel))
    await ask(server, "imagine", prompt=BAD_WORD)
    assert RESULT_REFUSED in text_of(server.sim.last)
    assert len(pictures_in(server.channel)) == posted
    # The case shows the result alone: there is no source.
    (name,) = await entry_files(server, 1)
    assert name.endswith("-result.png")


async def test_a_case_about_an_edit_shows_every_picture(server: ModeratedServer) -> None:
    other = ("other.png", CAT[1])
    await ask(server, "edit", instruction=BAD_WORD, image=CAT, image_2=other)
    names = await entry_files(server, 3)
    assert [name.partition("source-")[2] for name in names[:2]] == ["1.png", "2.png"]
    assert names[2].endswith("-result.png")


@pytest.mark.parametrize(
    ("command", "options"),
    [("edit", {"instruction": "x", "image": CAT}), ("imagine", {"prompt": "x"})],
)
async def test_a_banned_user_can_neither_edit_nor_draw(
    server: ModeratedServer, command: str, options: dict[str, Any]
) -> None:
    told = await server.command(server.manager, "moderation ban", target=server.bob, reason="spam")
    assert told
    answer = await ask(server, command, user=server.bob, **options)
    assert answer == "You may not use this bot here."
    await server.command(server.manager, "moderation unban", target=server.bob, reason="over")


async def test_a_picture_of_an_age_restricted_channel_stays_there(
    server: ModeratedServer,
) -> None:
    await server.alice.slash(server.adult, "edit", instruction="x", image=CAT)
    await server.sim.settled()
    message = server.adult.last_message
    assert message is not None
    stored = files(server)
    answer = await ask(server, "edit", instruction="x", image=CAT, links=message.jump_url)
    assert "age-restricted" in answer
    assert files(server) == stored
