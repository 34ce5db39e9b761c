"""The entries of the moderation log, exactly: texts, files, language, and what Discord refuses.

Only the scores are scripted.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest_asyncio

from bot.moderation.assessment import hash_of
from bot.moderation.model import CaseKind, GuildPolicy
from tests.support.moderation.discord import CAT, ModeratedServer, said
from tests.support.moderation.logged import header, logged, open_logged_server, score, the_case
from tests.support.simulated_discord import buttons_of, text_of
from tests.support.simulated_users import newest_job

HOUR = 3600.0


@pytest_asyncio.fixture
async def server(tmp_path: Path) -> AsyncIterator[ModeratedServer]:
    async with open_logged_server(tmp_path) as opened:
        yield opened


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


async def test_the_report_of_several_pictures_shows_all_of_them_and_the_users_own_words(
    server: ModeratedServer,
) -> None:
    await server.redraw(options={"count": 3, "style": "Watercolour"})
    await server.bob.context_menu(server.channel, "Report picture", server.sim.last)
    await logged(server, lambda: bool(server.log.history() and server.entry.attachments))
    assert [file.filename for file in server.entry.attachments] == [
        f"SPOILER_case-1-{name}.png" for name in ("source-1", "result-1", "result-2", "result-3")
    ]
    assert text_of(server.entry).splitlines()[-1] == ">>> a fox"


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


async def test_without_a_log_no_entry_is_posted(server: ModeratedServer) -> None:
    await server.services.moderation.lists.set_policy(GuildPolicy(guild_id=server.guild_id))
    await server.redraw(prompt="a wolf")
    await server.command(server.moderator, "moderation ban", target=server.bob)
    assert server.log.history() == []
    assert len(await server.services.moderation.cases.cases(server.guild_id)) == 1
