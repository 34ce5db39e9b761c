"""The moderation log, its buttons, and reports."""

from __future__ import annotations

import asyncio
import io
import sqlite3
import zipfile
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import discord
import pytest
import pytest_asyncio
from simcord.actors import MemberActor

from bot.moderation.model import GuildPolicy
from tests.support.moderation.discord import (
    BAD,
    BAD_WORD,
    CAT,
    ModeratedServer,
    open_moderated_server,
    pictures_in,
    said,
)
from tests.support.simulated_discord import buttons_of, text_of
from tests.support.simulated_users import delete_data

BANNED = "You may not use this bot here."
BUTTONS = {"Block picture", "Time out", "Ban", "Dismiss"}


@pytest_asyncio.fixture
async def server(tmp_path: Path) -> AsyncIterator[ModeratedServer]:
    async with open_moderated_server(tmp_path) as opened:
        await opened.open_log()
        yield opened


async def report(server: ModeratedServer, user: MemberActor, message: discord.Message) -> str:
    result = await user.context_menu(server.channel, "Report picture", message)
    await server.sim.env.settle()
    return said(result)


def shows(server: ModeratedServer, text: str) -> bool:
    return text in text_of(server.entry)


async def until(server: ModeratedServer, condition: Callable[[], bool]) -> None:
    """Wait for the log, which is written after the user was answered."""
    async with asyncio.timeout(60):
        while not condition():
            await server.sim.env.settle()
            await asyncio.sleep(0.01)


async def test_every_kind_of_refusal_has_an_entry_with_spoilered_thumbnails(
    server: ModeratedServer,
) -> None:
    await server.command(server.manager, "moderation rules add", kind="word", pattern="wolf")
    expected = {
        "a wolf": ("prompt of", CAT, 0),
        "a fox": ("source picture of", BAD, 1),
        BAD_WORD: ("result for", CAT, 2),
    }
    for prompt, (words, image, thumbnails) in expected.items():
        await server.redraw(image=image, prompt=prompt)
        await until(server, partial(shows, server, prompt))
        entry = server.entry
        for text in (words, server.alice.mention, f"<#{server.channel.id}>", prompt):
            assert text in text_of(entry)
        assert len(entry.attachments) == thumbnails
        assert all(file.is_spoiler() for file in entry.attachments)
        assert buttons_of(entry).keys() >= {"Time out", "Ban", "Dismiss"}
        if thumbnails:
            assert " · 0." in text_of(entry)


async def test_passed_pictures_are_listed_only_if_the_server_wants_it(
    server: ModeratedServer,
) -> None:
    await server.redraw()
    assert server.log.history() == []
    await server.command(
        server.manager, "moderation set log", channel=server.log, every_picture=True
    )
    await server.redraw()
    assert "picture of" in text_of(server.entry)
    assert "Delete everywhere" in buttons_of(server.entry)


async def test_without_a_log_channel_refusals_are_recorded_all_the_same(
    server: ModeratedServer,
) -> None:
    await server.command(server.manager, "moderation set log")
    await server.redraw(image=BAD)
    assert pictures_in(server.log) == []
    assert len(await server.services.moderation.cases.cases(server.guild_id)) == 1


@pytest.mark.parametrize("label", [*sorted(BUTTONS), "Undo"])
async def test_the_buttons_are_for_moderators(server: ModeratedServer, label: str) -> None:
    await server.redraw(image=BAD)
    if label == "Undo":
        await server.click(server.moderator, server.entry, "Dismiss")
    told = await server.click(server.alice, server.entry, label)
    assert "Only moderators" in told
    actions = await server.services.moderation.cases.actions(server.guild_id)
    assert len(actions) == (1 if label == "Undo" else 0)


async def test_one_click_blocks_a_picture_and_undo_lifts_that(server: ModeratedServer) -> None:
    await server.redraw(image=BAD)
    await server.click(server.moderator, server.entry, "Block picture")
    assert "Picture blocked" in text_of(server.entry)
    # Where no score is refused, the block still holds.
    await server.command(server.manager, "moderation set thresholds", age_restricted=1.0)
    assert "refused it" in await server.redraw(server.adult, image=BAD)
    first = next(m for m in server.log.history() if "Case 1" in text_of(m))
    await server.click(server.moderator, first, "Undo")
    assert await server.redraw(server.adult, image=BAD) == ""


@pytest.mark.parametrize(
    ("label", "fields", "told"),
    [
        ("Ban", {"reason": "again"}, BANNED),
        ("Time out", {"reason": "again", "minutes": "5"}, "You may use this bot again"),
    ],
)
async def test_a_user_can_be_banned_and_timed_out_from_an_entry_and_undone(
    server: ModeratedServer, label: str, fields: dict[str, str], told: str
) -> None:
    await server.redraw(image=BAD)
    await server.click(server.moderator, server.entry, label, **fields)
    assert "again" in text_of(server.entry)
    assert server.moderator.mention in text_of(server.entry)
    assert told in await server.redraw()
    first = next(m for m in server.log.history() if "Case 1" in text_of(m))
    await server.click(server.moderator, first, "Undo")
    assert await server.redraw() == ""
    kinds = [a.kind for a in await server.services.moderation.cases.actions(server.guild_id)]
    assert kinds == ["ban" if label == "Ban" else "timeout", "undo"]


async def test_nonsense_in_the_minutes_is_refused(server: ModeratedServer) -> None:
    await server.redraw(image=BAD)
    told = await server.click(server.moderator, server.entry, "Time out", reason="", minutes="soon")
    assert "must be a number" in told
    assert await server.redraw() == ""


async def test_reports_of_a_picture_are_one_entry_that_counts_them(
    server: ModeratedServer,
) -> None:
    await server.redraw()
    answer = server.sim.last
    for user in (server.bob, server.bob, server.artist):
        assert "Thank you" in await report(server, user, answer)
    assert len(server.log.history()) == 1
    assert "reported by 2 users" in text_of(server.entry)
    assert len(server.entry.attachments) == 2


async def test_what_is_not_the_bots_picture_cannot_be_reported(server: ModeratedServer) -> None:
    message = await server.alice.send(server.channel, "hello", attachments=[CAT])
    assert "Only pictures that I made" in await report(server, server.bob, message)
    assert server.log.history() == []


async def test_delete_everywhere_removes_the_answer_and_its_copies(
    server: ModeratedServer,
) -> None:
    gallery = server.sim.env.guild.create_text_channel("gallery")
    await server.services.store.guild_settings.set_gallery(server.guild_id, gallery.id)
    await server.redraw()
    answer = server.sim.last
    for label in ("Share", "Larger"):
        await server.click(server.alice, answer, label)
    assert len([*pictures_in(gallery), *pictures_in(server.channel)]) == 3
    shared = gallery.last_message
    assert shared is not None
    assert "Thank you" in await server.click(server.bob, shared, "Report")
    await server.click(server.moderator, server.entry, "Delete everywhere")
    assert [*pictures_in(gallery), *pictures_in(server.channel)] == []
    assert await server.services.store.jobs_of(server.alice.id) == []
    assert "Picture deleted" in text_of(server.entry)


async def test_a_report_after_the_retention_time_gets_a_sentence(server: ModeratedServer) -> None:
    gallery = server.sim.env.guild.create_text_channel("gallery")
    await server.services.store.guild_settings.set_gallery(server.guild_id, gallery.id)
    await server.redraw()
    await server.click(server.alice, server.sim.last, "Share")
    await server.services.store.erase_user(server.alice.id)
    shared = gallery.last_message
    assert shared is not None
    assert "no longer know this picture" in await server.click(server.bob, shared, "Report")


async def test_the_report_of_a_shared_private_result_does_not_show_its_source(
    server: ModeratedServer,
) -> None:
    gallery = server.sim.env.guild.create_text_channel("gallery")
    await server.services.store.guild_settings.set_gallery(server.guild_id, gallery.id)
    result = await server.alice.slash(
        server.channel, "img2img", prompt="a fox", image=CAT, private=True
    )
    await server.sim.settled()
    assert result.response is not None
    assert result.response.message is not None
    await server.click(server.alice, result.response.message, "Share")
    shared = gallery.last_message
    assert shared is not None
    assert "Thank you" in await server.click(server.bob, shared, "Report")
    assert ["result" in file.filename for file in server.entry.attachments] == [True]


async def test_manage_messages_in_one_channel_is_not_enough_for_the_buttons(
    server: ModeratedServer,
) -> None:
    guild = server.sim.env.guild
    member = guild.add_member(server.sim.env.create_user("helper"))
    overwrite = discord.PermissionOverwrite(manage_messages=True)
    channel = guild.create_text_channel("theirs", overwrites={member: overwrite})
    await server.services.moderation.lists.set_policy(
        GuildPolicy(guild_id=server.guild_id, log_channel_id=channel.id)
    )
    await server.redraw(image=BAD)
    entry = channel.last_message
    assert entry is not None
    assert "Only moderators" in await server.click(member, entry, "Dismiss")


async def test_links_in_a_prompt_are_not_clickable_in_the_log(server: ModeratedServer) -> None:
    await server.redraw(image=BAD, prompt="see https://site.example/x and discord.gg/abc")
    assert "site.example" in text_of(server.entry)
    assert "https://" not in text_of(server.entry)
    assert "discord.gg" not in text_of(server.entry)


async def test_a_request_is_not_recorded_after_its_user_erased_their_data(
    server: ModeratedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    await server.command(server.manager, "moderation rules add", kind="word", pattern="wolf")
    intake = server.services.intake
    decode = intake.from_bytes

    async def slow(*values: Any, **options: Any) -> Any:
        # What `/privacy delete` does.
        await server.services.runner.erase(server.alice.id)
        return await decode(*values, **options)

    monkeypatch.setattr(intake, "from_bytes", slow)
    assert "Your data was deleted" in await server.redraw(prompt="a personal wolf")
    assert await server.services.moderation.cases.of_user(server.alice.id) == []


async def test_an_entry_that_could_not_be_emptied_later_has_no_contents(
    server: ModeratedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def killed(*_: object) -> None:
        raise sqlite3.OperationalError("as if the process were killed after the message was sent")

    monkeypatch.setattr(server.services.moderation.cases, "logged", killed)
    await server.redraw(image=BAD, prompt="a very personal prompt")
    assert "source picture of" in text_of(server.entry)
    assert "personal" not in text_of(server.entry)
    assert not server.entry.attachments


async def test_a_users_export_holds_the_cases_about_them(server: ModeratedServer) -> None:
    await server.redraw(image=BAD, prompt="a very personal prompt")
    for user, names in ((server.alice, ["moderation.json"]), (server.bob, [])):
        result = await user.slash(server.channel, "privacy export")
        await server.sim.env.settle()
        replies = [result.response, *result.followups]
        files = [file for reply in replies if reply for file in reply.attachments]
        found = [zipfile.ZipFile(io.BytesIO(await file.read())) for file in files]
        listed = [name for archive in found for name in archive.namelist() if "json" in name]
        assert [name for name in listed if name not in ("jobs.json", "settings.json")] == names
        for archive in found:
            assert b"a very personal prompt" in archive.read("moderation.json")


async def test_thumbnails_and_prompts_leave_the_log_when_their_user_asks(
    server: ModeratedServer,
) -> None:
    await server.redraw(image=BAD, prompt="a very personal prompt")
    assert server.entry.attachments
    await delete_data(server.alice, server.channel)
    await until(server, lambda: not server.entry.attachments)
    assert "personal" not in text_of(server.entry)
    assert server.alice.mention in text_of(server.entry)
    (case,) = await server.services.moderation.cases.cases(server.guild_id)
    assert (case.prompt, case.bits) == (None, None)
