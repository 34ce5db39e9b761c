"""Who sees and does what, through the real cogs, the real library, HTTP and the gateway.

Alice makes pictures in several channels. Bob is a member without special permissions, a moderator
has Manage Messages in one channel, and Carol has installed the bot for her own account only.
"""

from __future__ import annotations

import io
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.support.bots.whole_bot import BOT, WholeBot, open_whole_bot, picture_file
from tests.support.fake_discord.guild import Channel, ChannelType, Guild, Overwrite, Permission
from tests.support.fake_discord.objects import Message
from tests.support.fake_discord.state import DiscordState

ALICE, BOB, MODERATOR, CAROL = 2001, 2002, 2003, 2004
# Ids with as many digits as Discord's, because links are recognised by them.
TEXT, THREAD, ADULTS, MODERATED, GALLERY, TEAM, ELSEWHERE, BETWEEN = range(10**18, 10**18 + 8)
GUILD, OTHER_GUILD = 2 * 10**18, 3 * 10**18
UNKNOWN = "I no longer know this picture"


def server() -> DiscordState:
    """A server with a channel of each kind, and one server that the bot is not in."""
    state = DiscordState()
    guild = state.guilds[GUILD] = Guild(GUILD)
    guild.add_bot(BOT)
    for user in (ALICE, BOB, MODERATOR):
        guild.add_member(user)
    hidden = Overwrite(GUILD, deny=Permission.VIEW_CHANNEL)
    alice = Overwrite(ALICE, member=True, allow=Permission.VIEW_CHANNEL)
    bot = Overwrite(BOT, member=True, allow=Permission.VIEW_CHANNEL)
    moderator = Overwrite(MODERATOR, member=True, allow=Permission.MANAGE_MESSAGES)
    guild.add_channel(Channel(TEXT, GUILD))
    thread = Channel(THREAD, GUILD, ChannelType.PRIVATE_THREAD, parent_id=TEXT)
    thread.members = {ALICE, BOT}
    guild.add_channel(thread)
    guild.add_channel(Channel(ADULTS, GUILD, nsfw=True))
    guild.add_channel(Channel(MODERATED, GUILD, overwrites=[moderator]))
    guild.add_channel(Channel(GALLERY, GUILD))
    guild.add_channel(Channel(TEAM, GUILD, overwrites=[hidden, alice, bot]))
    other = state.guilds[OTHER_GUILD] = Guild(OTHER_GUILD)
    other.add_member(CAROL)
    other.add_channel(Channel(ELSEWHERE, OTHER_GUILD))
    return state


@asynccontextmanager
async def running(folder: Path, **changes: Any) -> AsyncIterator[WholeBot]:
    changes = {"user_install": True, "gallery_channel": GALLERY, **changes}
    async with open_whole_bot(folder, server(), **changes) as bot:
        yield bot


def job_of(message: Message) -> str:
    found = re.search(r"redraw:\w+:([0-9a-f]{16})", message.custom_ids[0])
    assert found
    return found[1]


def pixels(data: bytes) -> bytes:
    return Image.open(io.BytesIO(data)).convert("RGB").tobytes()


def link_to(message: Message) -> str:
    return f"https://discord.com/channels/{GUILD}/{message.channel_id}/{message.id}"


@pytest.mark.parametrize("place", [THREAD, TEAM])
async def test_a_picture_in_a_closed_channel_is_for_those_inside(
    tmp_path: Path, place: int
) -> None:
    async with running(tmp_path) as bot:
        made = await bot.redraw(place, ALICE)
        shown = await bot.command(TEXT, BOB, "show", id=job_of(made))
        assert (shown.pictures, UNKNOWN in shown.text) == ([], True)
        linked = await bot.command(TEXT, BOB, "img2img", prompt="x", url=link_to(made))
        assert linked.pictures == []
        assert "I cannot read that message" in linked.text
        # Alice herself may use it in another channel.
        again = await bot.command(TEXT, ALICE, "img2img", prompt="x", url=link_to(made))
        assert len(again.pictures) == 1
        assert len((await bot.command(TEXT, ALICE, "show", id=job_of(made))).pictures) == 1


async def test_manage_threads_opens_a_private_thread(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        bot.state.guilds[GUILD].channels[TEXT].overwrites.append(
            Overwrite(BOB, member=True, allow=Permission.MANAGE_THREADS)
        )
        # The bot learns of the overwrite as Discord tells it.
        await bot.discord.update_channel(TEXT)
        made = await bot.redraw(THREAD, ALICE)
        shown = await bot.command(TEXT, BOB, "show", id=job_of(made))
        assert len(shown.pictures) == 1


async def test_a_moderators_power_ends_at_the_channel(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        elsewhere = await bot.redraw(TEXT, ALICE)
        refused = await bot.click(MODERATOR, elsewhere, "delete")
        assert "Only the user who asked" in refused.text
        assert not elsewhere.deleted
        here = await bot.redraw(MODERATED, ALICE)
        await bot.click(MODERATOR, here, "delete")
        assert here.deleted


async def test_a_moderator_cancels_jobs_in_their_channel_only(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        bot.service.gate.clear()
        for channel in (TEXT, MODERATED):
            options = {"prompt": "x", "image": picture_file()}
            await bot.discord.command(BOT, channel, ALICE, "img2img", **options)
        await bot.until(lambda: len(bot.service.requests) == 2)
        await bot.discord.command(BOT, MODERATED, MODERATOR, "cancel", everyone=True)
        await bot.until(lambda: any("Cancelled" in m.text for m in bot.messages()))
        bot.service.gate.set()
        await bot.bot.services.runner.wait_idle()
        requested = [m for m in bot.messages() if not m.ephemeral]
        assert {m.channel_id: bool(m.files) for m in requested} == {TEXT: True, MODERATED: False}


async def test_a_picture_of_an_age_restricted_channel_stays_there(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        made = await bot.redraw(ADULTS, ALICE)
        shared = await bot.click(ALICE, made, "share")
        assert "age-restricted" in shared.text
        assert [m for m in bot.messages() if m.channel_id == GALLERY] == []
        linked = await bot.command(TEXT, ALICE, "img2img", prompt="x", url=link_to(made))
        assert linked.pictures == []
        shown = await bot.command(TEXT, ALICE, "show", id=job_of(made))
        assert shown.pictures == []
        inside = await bot.command(ADULTS, ALICE, "img2img", prompt="x", url=link_to(made))
        assert len(inside.pictures) == 1


async def test_a_shared_private_picture_shows_the_result_only(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        private = await bot.redraw(TEXT, ALICE, private=True)
        assert private.ephemeral
        assert "share" in {id_.split(":")[1] for id_ in private.custom_ids}
        await bot.click(ALICE, private, "share")
        [shared] = [m for m in bot.messages() if m.channel_id == GALLERY]
        [before], [after] = private.files.values(), shared.files.values()
        assert pixels(after) == pixels(before)
        assert "picture.png" not in shared.text
        actions = {custom_id.split(":")[1] for custom_id in shared.custom_ids}
        assert actions <= {"remove", "report"}
        refused = await bot.click(BOB, shared, "remove")
        assert refused.public == []
        assert not shared.deleted
        shown = await bot.command(TEXT, BOB, "show", id=job_of(private))
        assert shown.pictures == []
        await bot.click(ALICE, shared, "remove")
        assert shared.deleted


@pytest.mark.parametrize("action", ["compare", "depth", "again", "strengths"])
async def test_what_shows_the_source_follows_the_sources_channel(
    tmp_path: Path, action: str
) -> None:
    """Alice redraws a picture of the team's channel in the public one."""
    async with running(tmp_path) as bot:
        secret = await bot.redraw(TEAM, ALICE)
        replies = await bot.command(TEXT, ALICE, "img2img", prompt="x", url=link_to(secret))
        [public] = replies.messages
        assert "picture.png" not in public.text
        refused = await bot.click(BOB, public, action)
        assert refused.pictures == []
        assert refused.public == []
        allowed = await bot.click(ALICE, public, action)
        assert allowed.pictures or action == "depth"


async def test_only_the_owner_and_moderators_delete(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        made = await bot.redraw(TEXT, ALICE)
        await bot.click(BOB, made, "delete")
        assert not made.deleted
        await bot.click(ALICE, made, "delete")
        assert made.deleted
        shown = await bot.command(TEXT, ALICE, "show", id=job_of(made))
        assert UNKNOWN in shown.text


@pytest.mark.parametrize("private", [False, True])
async def test_a_user_installed_bot_answers_in_a_server_without_it(
    tmp_path: Path, private: bool
) -> None:
    """The payload grants neither View Channel nor Send Messages."""
    async with running(tmp_path) as bot:
        made = await bot.redraw(ELSEWHERE, CAROL, private=private)
        assert made.ephemeral is private


async def test_a_user_installed_bot_follows_a_forced_ephemeral_reply(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        everyone = bot.state.guilds[OTHER_GUILD].roles[OTHER_GUILD]
        everyone.permissions &= ~Permission.USE_EXTERNAL_APPS
        made = await bot.redraw(ELSEWHERE, CAROL)
        assert made.ephemeral
        # Only Carol sees it, so it is a private job.
        job = await bot.bot.services.store.job(job_of(made))
        assert job is not None
        assert job.destination.private


@pytest.mark.parametrize("action", ["again", "vary", "strengths", "compare", "depth", "larger"])
async def test_the_buttons_of_a_user_installed_bot_work(tmp_path: Path, action: str) -> None:
    async with running(tmp_path) as bot:
        made = await bot.redraw(ELSEWHERE, CAROL)
        replies = await bot.click(CAROL, made, action)
        assert len(replies.pictures) == 1


@pytest.mark.parametrize("action", ["edit", "use"])
async def test_the_forms_of_a_user_installed_bot_work(tmp_path: Path, action: str) -> None:
    async with running(tmp_path) as bot:
        made = await bot.redraw(ELSEWHERE, CAROL)
        opened = await bot.click(CAROL, made, action)
        assert opened.interaction is not None
        assert opened.messages == []
        sent = await bot.submit(opened.interaction, {1: "an owl"})
        assert len(sent.pictures) == 1
        assert bot.service.requests[-1].prompt == "an owl"


async def test_a_user_installed_bot_deletes_through_the_interaction(tmp_path: Path) -> None:
    """It may not delete messages in that channel with its own token."""
    async with running(tmp_path) as bot:
        made = await bot.redraw(ELSEWHERE, CAROL)
        replies = await bot.click(CAROL, made, "delete")
        assert made.deleted
        assert replies.messages == []


async def test_a_user_installed_bot_answers_between_two_users(tmp_path: Path) -> None:
    """The bot cannot see the channel: it has the interaction's token only."""
    async with running(tmp_path) as bot:
        bot.state.private_channels.add(BETWEEN)
        made = await bot.redraw(BETWEEN, CAROL)
        assert not made.ephemeral
        # The other user in the conversation uses the picture, too.
        assert len((await bot.click(BOB, made, "vary")).pictures) == 1
        shown = await bot.command(TEXT, BOB, "show", id=job_of(made))
        assert UNKNOWN in shown.text
        await bot.click(BOB, made, "delete")
        assert not made.deleted
        await bot.click(CAROL, made, "delete")
        assert made.deleted


async def test_carol_obtains_nothing_of_the_server(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        made = await bot.redraw(TEXT, ALICE)
        shown = await bot.command(ELSEWHERE, CAROL, "show", id=job_of(made))
        assert (shown.pictures, UNKNOWN in shown.text) == ([], True)
        linked = await bot.command(ELSEWHERE, CAROL, "img2img", prompt="x", url=link_to(made))
        assert linked.pictures == []
