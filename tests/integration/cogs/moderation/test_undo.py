"""*Undo* in the moderation log puts back the state before the action, and no more."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import discord
import pytest
import pytest_asyncio

from bot.moderation.model import Effect, Place, Restriction
from tests.support.moderation.discord import BAD, ModeratedServer, open_moderated_server
from tests.support.simulated_discord import buttons_of, text_of

BANNED = "You may not use this bot here."
TIMED_OUT = "You may use this bot again"


@pytest_asyncio.fixture
async def server(tmp_path: Path) -> AsyncIterator[ModeratedServer]:
    async with open_moderated_server(tmp_path) as opened:
        await opened.open_log()
        yield opened


def entry(server: ModeratedServer, number: int) -> discord.Message:
    """The log's entry of a case, as it is now."""
    return next(m for m in server.log.history() if f"Case {number}" in text_of(m))


async def restrictions(server: ModeratedServer) -> list[Restriction]:
    return await server.services.moderation.lists.restrictions(Place(server.guild_id, 0))


async def act(server: ModeratedServer, number: int, label: str, **fields: str) -> None:
    await server.click(server.moderator, entry(server, number), label, **fields)


async def command(server: ModeratedServer, name: str, **options: object) -> None:
    await server.command(server.moderator, f"moderation {name}", target=server.alice, **options)


@pytest.mark.parametrize("first", ["command", "case"])
async def test_a_ban_that_was_made_twice_remains_until_both_are_undone(
    server: ModeratedServer, first: str
) -> None:
    for _ in range(2):
        await server.redraw(image=BAD)
    if first == "command":
        await command(server, "ban")
    await act(server, 1, "Ban", reason="once")
    await act(server, 2, "Ban", reason="twice")
    await act(server, 2, "Undo")
    assert BANNED in await server.redraw()
    await act(server, 1, "Undo")
    assert (BANNED in await server.redraw()) is (first == "command")


async def test_a_ban_by_a_command_after_the_cases_ban_remains(server: ModeratedServer) -> None:
    await server.redraw(image=BAD)
    await act(server, 1, "Ban", reason="once")
    await command(server, "ban")
    await act(server, 1, "Undo")
    assert BANNED in await server.redraw()


async def test_undo_does_not_restore_a_ban_that_was_ended(server: ModeratedServer) -> None:
    for _ in range(2):
        await server.redraw(image=BAD)
    await command(server, "ban")
    await act(server, 1, "Ban", reason="once")
    await command(server, "unban")
    await act(server, 2, "Ban", reason="again")
    await act(server, 2, "Undo")
    assert await server.redraw() == ""
    await act(server, 1, "Undo")
    assert await server.redraw() == ""


@pytest.mark.parametrize("minutes", ["5", "5000"])
async def test_the_end_of_an_earlier_timeout_comes_back(
    server: ModeratedServer, minutes: str
) -> None:
    await server.redraw(image=BAD)
    await command(server, "timeout", minutes=600)
    earlier = await restrictions(server)
    await act(server, 1, "Time out", reason="", minutes=minutes)
    assert await restrictions(server) != earlier
    await act(server, 1, "Undo")
    assert await restrictions(server) == earlier
    assert earlier[0].effect is Effect.TIMEOUT
    assert TIMED_OUT in await server.redraw()


async def test_a_picture_that_two_cases_blocked_stays_blocked(server: ModeratedServer) -> None:
    for _ in range(2):
        await server.redraw(image=BAD)
    # Where no score is refused, the block still holds.
    await server.command(server.manager, "moderation set thresholds", age_restricted=1.0)
    await act(server, 1, "Block picture")
    await act(server, 2, "Block picture")
    await act(server, 1, "Undo")
    assert "refused it" in await server.redraw(server.adult, image=BAD)
    await act(server, 2, "Undo")
    assert await server.redraw(server.adult, image=BAD) == ""


async def test_a_case_with_several_actions_offers_undo_for_each(server: ModeratedServer) -> None:
    await server.redraw(image=BAD)
    await act(server, 1, "Ban", reason="")
    await act(server, 1, "Time out", reason="", minutes="5")
    await act(server, 1, "Undo")
    assert BANNED in await server.redraw()
    await act(server, 1, "Undo")
    assert await server.redraw() == ""
    assert "Dismiss" in buttons_of(entry(server, 1))
