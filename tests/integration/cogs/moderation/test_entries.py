"""The entries of the moderation log, exactly: texts, files, language, and what Discord refuses.

Only the scores are scripted.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import discord
import pytest
import pytest_asyncio

from bot.images.picture import Picture
from bot.moderation.assessment import PictureAssessor, hash_of
from bot.moderation.detectors.prompt_rules import RuleKind
from bot.moderation.model import Case, CaseKind, GuildPolicy
from bot.retention_clock import RetentionClock
from tests.support.moderation.discord import CAT, ModeratedServer, open_moderated_server, said
from tests.support.moderation.scored import ScriptedClassifier
from tests.support.simulated_discord import buttons_of, text_of
from tests.support.simulated_users import newest_job

HOUR = 3600.0


@pytest_asyncio.fixture
async def server(tmp_path: Path) -> AsyncIterator[ModeratedServer]:
    async with open_moderated_server(tmp_path, moderation=False) as opened:
        await opened.open_log()
        await opened.services.moderation.lists.add_rule(opened.guild_id, RuleKind.WORD, "wolf")
        yield opened


def score(server: ModeratedServer, score_of: Callable[[Picture], float]) -> None:
    """Check pictures, with these scores."""
    server.services.moderation._assessor = PictureAssessor(ScriptedClassifier(score_of))


async def logged(server: ModeratedServer, condition: Callable[[], bool]) -> None:
    """Wait for the log, which is written after the user was answered."""
    async with asyncio.timeout(20):
        while not condition():
            await server.sim.env.settle()
            await asyncio.sleep(0.01)


async def the_case(server: ModeratedServer) -> Case:
    """The only case of the server."""
    (case,) = await server.services.moderation.cases.cases(server.guild_id)
    return case


def header(server: ModeratedServer, case: Case, words: str) -> str:
    """The first line of an entry about a request of Alice."""
    when = f"<t:{int(case.created_at)}:R>"
    words = words.format(user=server.alice.mention, channel=f"<#{server.channel.id}>")
    return f"**Case {case.id}:** {words} {when}"


async def test_the_entry_of_a_prompt(server: ModeratedServer) -> None:
    assert "not allowed here" in await server.redraw(prompt="a *wolf*")
    await logged(server, lambda: "wolf" in text_of(server.entry))
    case = await the_case(server)
    assert (case.kind, case.channel_id, case.user_id) == (
        CaseKind.PROMPT,
        server.channel.id,
        server.alice.id,
    )
    assert text_of(server.entry).splitlines() == [
        header(server, case, "prompt of {user} refused in {channel}"),
        "-# rule 1",
        r">>> a \*wolf\*",
    ]
    assert list(buttons_of(server.entry)) == ["Time out", "Ban", "Dismiss"]
    assert (case.log_channel_id, case.log_message_id) == (server.log.id, server.entry.id)


async def test_the_entry_of_a_source(server: ModeratedServer) -> None:
    score(server, lambda _picture: 0.954)
    assert "image check refused it" in await server.redraw()
    await logged(server, lambda: bool(server.entry.attachments))
    case = await the_case(server)
    assert text_of(server.entry).splitlines() == [
        header(server, case, "source picture of {user} refused in {channel}"),
        "-# score · 0.95",
        ">>> a fox",
    ]
    assert [(file.filename, file.description) for file in server.entry.attachments] == [
        ("SPOILER_case-1-source-1.png", "source-1")
    ]
    assert list(buttons_of(server.entry)) == ["Block picture", "Time out", "Ban", "Dismiss"]


async def test_the_entry_of_a_result(server: ModeratedServer) -> None:
    score(server, lambda _picture: 0.0)
    await server.redraw()
    job = await newest_job(server.sim, server.alice)
    source = await server.services.store.pictures.get(job.sources[0])
    score(server, lambda picture: 0.0 if picture == source else 0.9)
    await server.redraw()
    await logged(server, lambda: bool(server.log.history() and server.entry.attachments))
    case = await the_case(server)
    job = await newest_job(server.sim, server.alice)
    assert text_of(server.entry).splitlines() == [
        header(server, case, "result for {user} withheld in {channel}"),
        "-# score · 0.90",
        f"-# {job.id}",
        ">>> a fox",
    ]
    assert [file.filename for file in server.entry.attachments] == [
        "SPOILER_case-1-source-1.png",
        "SPOILER_case-1-result.png",
    ]
    assert case.job_id == job.id


async def test_a_blocked_picture_is_named_as_the_reason(server: ModeratedServer) -> None:
    score(server, lambda _picture: 0.0)
    await server.redraw()
    job = await newest_job(server.sim, server.alice)
    bits = await hash_of(await server.services.store.pictures.get(job.sources[0]))
    assert bits is not None
    await server.services.moderation.lists.block(server.guild_id, bits)
    assert "image check refused it" in await server.redraw()
    await logged(server, lambda: bool(server.log.history() and server.entry.attachments))
    assert "-# blocked picture · 0.00" in text_of(server.entry)


async def test_the_entry_of_a_report(server: ModeratedServer) -> None:
    await server.redraw()
    job = await newest_job(server.sim, server.alice)
    for user in (server.bob, server.artist):
        told = await user.context_menu(server.channel, "Report picture", server.sim.last)
        assert said(told) == "Thank you. The moderators will see your report."
    await logged(server, lambda: "2 users" in text_of(server.entry))
    case = await the_case(server)
    assert text_of(server.entry).splitlines() == [
        header(server, case, "picture of {user} in {channel} reported"),
        "-# reported by 2 users",
        f"-# {job.id}",
        ">>> a fox",
    ]
    assert [file.filename for file in server.entry.attachments] == [
        "SPOILER_case-1-source-1.png",
        "SPOILER_case-1-result.png",
    ]
    assert list(buttons_of(server.entry)) == [
        *("Delete everywhere", "Block picture", "Time out", "Ban", "Dismiss"),
    ]


async def test_the_entry_of_an_action_and_of_an_appeal(server: ModeratedServer) -> None:
    await server.command(server.moderator, "moderation ban", target=server.alice, reason="spam")
    await logged(server, lambda: bool(server.log.history()))
    assert text_of(server.entry).splitlines() == [
        f"Banned: {server.alice.mention}, by {server.moderator.mention}",
        "-# spam",
    ]
    refused: Any = await server.alice.slash(server.channel, "img2img", prompt="x", image=CAT)
    await logged(server, lambda: len(server.log.history()) == 2)
    listed = server.entry
    [reply] = [*refused.followups] or [refused.response]
    await server.alice.click(reply.message, custom_id="redraw:appeal:1")
    await logged(server, lambda: len(server.log.history()) == 3)
    link = f"https://discord.com/channels/{server.guild_id}/{server.log.id}/{listed.id}"
    assert text_of(server.entry) == f"{server.alice.mention} appeals case 1. {link}"


async def test_entries_are_in_the_language_of_the_server(server: ModeratedServer) -> None:
    settings = server.services.store.guild_settings
    await settings.change(server.guild_id, language="de")
    await server.command(server.moderator, "moderation ban", target=server.bob)
    await logged(server, lambda: bool(server.log.history()))
    assert text_of(server.entry).startswith("Ausgeschlossen: ")
    await server.redraw(prompt="a wolf")
    await logged(server, lambda: "wolf" in text_of(server.entry))
    assert text_of(server.entry).startswith("**Fall 1:**")


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


async def test_without_a_log_no_entry_is_posted(server: ModeratedServer) -> None:
    await server.services.moderation.lists.set_policy(GuildPolicy(guild_id=server.guild_id))
    await server.redraw(prompt="a wolf")
    await server.command(server.moderator, "moderation ban", target=server.bob)
    assert server.log.history() == []
    assert len(await server.services.moderation.cases.cases(server.guild_id)) == 1


async def test_contents_leave_the_log_with_the_shorter_time_of_the_server(
    server: ModeratedServer,
) -> None:
    """The operator's retention is a day; the server's is two hours."""
    log, settings = server.services.moderation_log, server.services.store.guild_settings
    await server.redraw(prompt="a wolf")
    await logged(server, lambda: "wolf" in text_of(server.entry))
    case = await the_case(server)
    await settings.change(server.guild_id, retention_hours=2.0)
    now = [case.created_at]
    log._retention_clock = RetentionClock(lambda: now[0], lambda: now[0])
    for passed, kept in ((2 * HOUR - 1, True), (2 * HOUR + 1, False)):
        now[0] = case.created_at + passed
        await log._expire()
        assert ((await the_case(server)).prompt is not None) is kept
    log.clean()
    await logged(server, lambda: "wolf" not in text_of(server.entry))
    assert text_of(server.entry).splitlines() == [
        header(server, case, "prompt of {user} refused in {channel}"),
        "-# rule 1",
    ]
