"""The moderation log when Discord refuses its messages, and the removal of contents from it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace

import discord
import pytest
import pytest_asyncio

from bot.retention_clock import RetentionClock
from tests.support.moderation.discord import CAT, ModeratedServer
from tests.support.moderation.logged import header, logged, open_logged_server, score, the_case
from tests.support.simulated_discord import text_of
from tests.support.simulated_users import delete_data

HOUR = 3600.0


@pytest_asyncio.fixture
async def server(tmp_path: Path) -> AsyncIterator[ModeratedServer]:
    async with open_logged_server(tmp_path) as opened:
        yield opened


@pytest.mark.parametrize("call", ["send", "edit"])
async def test_what_discord_refuses_is_told_to_the_operator_and_fails_no_check(
    server: ModeratedServer,
    call: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    response = SimpleNamespace(status=403, reason="Forbidden")
    forbidden = discord.Forbidden(response, "Missing Access")  # type: ignore[arg-type]

    async def refuse(*_: object, **__: object) -> None:
        raise forbidden

    if call == "send":
        monkeypatch.setattr(discord.PartialMessageable, "send", refuse)
        sentence = "an entry of the moderation log could not be posted: "
    else:
        monkeypatch.setattr(discord.Message, "edit", refuse)
        sentence = "the log entry of case 1 could not be edited: "
    assert "not allowed here" in await server.redraw(prompt="a wolf")
    await logged(server, lambda: sentence in caplog.text)
    assert f"{sentence}403 Forbidden (error code: 0): Missing Access" in caplog.messages
    # There is nothing in the log that has to be emptied later.
    assert (await the_case(server)).log_message_id == (None if call == "send" else server.entry.id)
    assert len(server.log.history()) == (0 if call == "send" else 1)


@pytest.mark.parametrize("hours", [2.0, 23.9995])
async def test_contents_leave_the_log_with_the_shorter_time_of_the_server(
    server: ModeratedServer, hours: float
) -> None:
    """The operator's retention is a day."""
    log, settings = server.services.moderation_log, server.services.store.guild_settings
    await server.redraw(prompt="a wolf")
    await logged(server, lambda: "wolf" in text_of(server.entry))
    case = await the_case(server)
    await settings.change(server.guild_id, retention_hours=hours)
    now = [case.created_at]
    log._retention_clock = RetentionClock(lambda: now[0], lambda: now[0])
    for passed, kept in ((hours * HOUR - 1, True), (hours * HOUR + 1, False)):
        now[0] = case.created_at + passed
        await log._expire()
        assert ((await the_case(server)).prompt is not None) is kept
    log.clean()
    await logged(server, lambda: "wolf" not in text_of(server.entry))
    assert text_of(server.entry).splitlines() == [
        header(server, case, "prompt of {user} refused in {channel}"),
        "-# rule 1",
    ]


@pytest.mark.parametrize(("status", "again"), [(403, False), (404, False), (500, True)])
async def test_an_entry_that_cannot_be_emptied_now_is_emptied_later(
    server: ModeratedServer,
    status: int,
    again: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Where the entry is out of reach it is not tried again."""
    cases = server.services.moderation.cases
    await server.redraw(prompt="a wolf")
    await logged(server, lambda: "wolf" in text_of(server.entry))
    kind = {403: discord.Forbidden, 404: discord.NotFound}.get(status, discord.HTTPException)
    error = kind(SimpleNamespace(status=status, reason="X"), "no")  # type: ignore[arg-type]

    async def refuse(*_: object, **__: object) -> None:
        raise error

    await cases.forget(server.alice.id)
    with monkeypatch.context() as patch:
        patch.setattr(discord.PartialMessage, "edit", refuse)
        server.services.moderation_log.clean()
        words = "could not be edited" if again else "is out of reach"
        sentence = f"the log entry of case 1 {words}: {status} X (error code: 0): no"
        await logged(server, lambda: sentence in caplog.messages)
    left = await cases.to_strip()
    assert [case.id for case in left] == ([1] if again else [])
    if again:
        server.services.moderation_log.clean()
        await logged(server, lambda: "wolf" not in text_of(server.entry))
        await server.sim.env.settle()
        assert await cases.to_strip() == []


async def test_a_bug_in_an_entry_is_logged_and_fails_no_check(
    server: ModeratedServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def entry(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(server.services.moderation_log._renderer, "entry", entry)
    assert "not allowed here" in await server.redraw(prompt="a wolf")
    await logged(server, lambda: "the moderation log failed" in caplog.messages)
    assert "ZeroDivisionError" in caplog.text


async def test_the_threshold_is_that_of_the_channel_of_the_request(
    server: ModeratedServer,
) -> None:
    """Between the two thresholds a picture passes in age-restricted channels only."""
    score(server, lambda _picture: 0.6)
    assert await server.redraw(server.adult) == ""
    assert "image check refused it" in await server.redraw()
    dora = server.sim.env.create_user("dora")
    files = server.sim.env.backend.store_attachments(dora.dm_channel.id, [CAT])
    await dora.send_dm("as a statue", attachments=files)
    await server.sim.settled()
    assert dora.dm_channel.last_message is not None
    assert "image check refused it" in dora.dm_channel.last_message.content


async def test_contents_leave_the_log_of_a_server_with_unreadable_settings(
    server: ModeratedServer,
) -> None:
    await server.command(server.manager, "moderation rules add", kind="word", pattern="wolf")
    await server.redraw(prompt="a personal wolf")
    assert "personal" in text_of(server.entry)
    replace = "REPLACE INTO guild_settings VALUES (?, ?)"
    await server.services.store.database.execute("test", replace, (server.guild_id, "{"))
    await delete_data(server.alice, server.channel)
    async with asyncio.timeout(20):
        while "personal" in text_of(server.entry):
            await server.sim.env.settle()
            await asyncio.sleep(0.01)
