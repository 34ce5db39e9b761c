"""The whole bot over real HTTP and a real gateway: what simcord does not model.

The fake Discord computes permissions from roles, overwrites and thread membership, hides contents
without the intent, and sends interactions of user installs, forwards and stickers as recorded.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import discord
import pytest

from bot.app import open_bot
from bot.client import RedrawBot
from bot.jobs.job import Job, JobState
from tests.support.bots.edit_limiter import instant_edit_limiter
from tests.support.bots.minimal_bot import point_discord_py_at
from tests.support.fake_discord.guild import Channel, ChannelType, Guild, Overwrite, Permission
from tests.support.fake_discord.guild_state import HOME_GUILD
from tests.support.fake_discord.objects import Message
from tests.support.fake_discord.server import FakeDiscord, fake_discord
from tests.support.fake_discord.state import DiscordState
from tests.support.services import ScriptedService
from tests.support.simulated_discord import settings_for
from tests.support.simulated_users import CAT

# As long as Discord's ids, since discord.py finds mentions by their length.
BASE = 10**17
BOT, ALICE, BOB = BASE + 1, BASE + 2, BASE + 3
PUBLIC, THREAD, ELSEWHERE = BASE + 10, BASE + 11, BASE + 12
OTHER_GUILD = BASE + 20
PICTURE = {"cat.png": CAT[1]}


def two_servers() -> DiscordState:
    """A server with the bot, a private thread of alice, and a server without the bot."""
    state = DiscordState()
    guild = state.guilds[HOME_GUILD]
    guild.add_bot(BOT)
    for user in (ALICE, BOB):
        guild.add_member(user)
    guild.add_channel(Channel(PUBLIC, HOME_GUILD))
    thread = Channel(THREAD, HOME_GUILD, ChannelType.PRIVATE_THREAD, parent_id=PUBLIC)
    thread.members = {ALICE, BOT}
    guild.add_channel(thread)
    other = state.guilds[OTHER_GUILD] = Guild(OTHER_GUILD)
    other.add_member(BOB)
    other.add_channel(Channel(ELSEWHERE, OTHER_GUILD))
    return state


@dataclass
class Wired:
    """The running bot, and the fake Discord that it is connected to."""

    bot: RedrawBot
    server: FakeDiscord
    state: DiscordState

    async def eventually(self, condition: Callable[[], Any]) -> Any:
        async with asyncio.timeout(60):
            while not (found := condition()):  # noqa: ASYNC110 - there is no event for it
                await asyncio.sleep(0.01)
        return found

    async def finished(self, user: int, number: int = 1) -> Job:
        """The user's newest job, once so many are delivered."""
        async with asyncio.timeout(60):
            while True:
                jobs = await self.bot.services.store.jobs_of(user)
                done = [job for job in jobs if job.state is JobState.DELIVERED]
                if len(done) == number:
                    return done[0]
                await asyncio.sleep(0.01)

    def said(self, text: str, *, ephemeral: bool = False) -> Message | None:
        """A message of the bot with this text; with `ephemeral`, for one user only."""
        for message in self.state.messages.values():
            ours = message.author_id == BOT and not message.deleted
            if ours and text in message.text and (message.ephemeral or not ephemeral):
                return message
        return None

    def shown_to(self, job: Job) -> Message:
        return self.state.messages[job.destination.message_id]


@asynccontextmanager
async def wired(folder: Path, state: DiscordState, **settings: Any) -> AsyncIterator[Wired]:
    async with (
        fake_discord(state) as server,
        open_bot(
            settings_for(
                folder, allowed_ports=[server.port], allowed_hosts=["127.0.0.1"], **settings
            ),
            ScriptedService(),
            edit_limiter=instant_edit_limiter(),
        ) as bot,
        bot,
    ):
        point_discord_py_at(server.port)
        # discord.py waits so long for further guilds before it reports that it is ready.
        bot._connection.guild_ready_timeout = 0.05
        await bot.login(f"token-of-{BOT}")
        gateway = asyncio.create_task(bot.connect())
        try:
            await asyncio.wait_for(bot.wait_until_ready(), 20)
            async with bot.services.runner:
                yield Wired(bot, server, state)
        finally:
            await bot.close()
            await asyncio.gather(gateway, return_exceptions=True)


def link(channel: int, message: int) -> str:
    return f"https://discord.com/channels/{BASE}/{channel}/{message}"


@pytest.mark.parametrize("member", [True, False])
async def test_a_private_thread_is_open_to_its_members_only(tmp_path: Path, member: bool) -> None:
    state = two_servers()
    if member:
        state.guilds[HOME_GUILD].channels[THREAD].members.add(BOB)
    async with wired(tmp_path, state) as one:
        await one.server.command(BOT, THREAD, ALICE, "img2img", prompt="inside", image=CAT[1])
        job = await one.finished(ALICE)
        await one.server.command(BOT, PUBLIC, BOB, "show", id=job.id)
        expected = "inside" if member else "no longer know"
        reply = await one.eventually(lambda: one.said(expected, ephemeral=True))
        assert reply.channel_id == PUBLIC
        url = link(THREAD, job.destination.message_id)
        await one.server.command(BOT, PUBLIC, BOB, "img2img", prompt="mine", url=url)
        if member:
            assert (await one.finished(BOB)).prompt == "mine"
        else:
            await one.eventually(lambda: one.said("cannot read that message", ephemeral=True))


async def test_an_overwrite_in_one_channel_makes_no_moderator_of_another(tmp_path: Path) -> None:
    state = two_servers()
    guild = state.guilds[HOME_GUILD]
    theirs = Channel(BASE + 30, HOME_GUILD)
    theirs.overwrites.append(Overwrite(BOB, member=True, allow=Permission.MANAGE_MESSAGES))
    guild.add_channel(theirs)
    async with wired(tmp_path, state) as one:
        await one.server.command(BOT, PUBLIC, ALICE, "img2img", prompt="a fox", image=CAT[1])
        job = await one.finished(ALICE)
        message = one.shown_to(job)
        delete = next(id_ for id_ in message.custom_ids if id_.startswith("redraw:delete"))
        await one.server.click(BOT, BOB, message, delete)
        await one.eventually(lambda: one.said("or a moderator"))
        await one.server.command(BOT, theirs.id, BOB, "img2img", prompt="b", image=CAT[1])
        await one.finished(BOB)
        await one.server.command(BOT, theirs.id, ALICE, "img2img", prompt="c", image=CAT[1])
        job = await one.finished(ALICE, 2)
        await one.server.click(
            BOT,
            BOB,
            one.shown_to(job),
            next(id_ for id_ in one.shown_to(job).custom_ids if id_.startswith("redraw:delete")),
        )
        await one.eventually(lambda: one.shown_to(job).deleted)
        assert not message.deleted


@pytest.mark.parametrize("external_apps", [True, False])
async def test_a_user_installed_command_in_a_server_without_the_bot(
    tmp_path: Path, external_apps: bool
) -> None:
    state = two_servers()
    everyone = state.guilds[OTHER_GUILD].roles[OTHER_GUILD]
    if not external_apps:
        everyone.permissions &= ~Permission.USE_EXTERNAL_APPS
    async with wired(tmp_path, state, user_install=True) as one:
        await one.server.command(BOT, ELSEWHERE, BOB, "img2img", prompt="mine", image=CAT[1])
        job = await one.finished(BOB)
        message = one.shown_to(job)
        assert message.files
        assert message.ephemeral is job.destination.private is not external_apps
        assert not [id_ for id_ in message.custom_ids if id_.startswith("redraw:share")]
        await one.server.command(BOT, ELSEWHERE, BOB, "img2img", prompt="no picture")
        await one.eventually(lambda: one.said("may not read this channel"))


async def test_a_stranger_with_a_user_install_sees_nothing_of_the_server(tmp_path: Path) -> None:
    async with wired(tmp_path, two_servers(), user_install=True) as one:
        outsider = BASE + 40
        one.state.guilds[OTHER_GUILD].add_member(outsider)
        await one.server.command(BOT, PUBLIC, ALICE, "img2img", prompt="a fox", image=CAT[1])
        job = await one.finished(ALICE)
        await one.server.command(BOT, ELSEWHERE, outsider, "show", id=job.id)
        await one.eventually(lambda: one.said("no longer know", ephemeral=True))
        url = link(PUBLIC, job.destination.message_id)
        await one.server.command(BOT, ELSEWHERE, outsider, "img2img", prompt="x", url=url)
        await one.eventually(lambda: one.said("cannot read that message", ephemeral=True))


async def test_only_a_typed_mention_is_a_request(tmp_path: Path) -> None:
    async with wired(tmp_path, two_servers()) as one:
        await one.server.command(BOT, PUBLIC, ALICE, "img2img", prompt="a fox", image=CAT[1])
        job = await one.finished(ALICE)
        reply_to = job.destination.message_id
        await one.server.write(BOB, PUBLIC, "thanks!", reply_to=reply_to)
        await one.server.write(BOB, PUBLIC, f"<@{BOT}> as a statue", reply_to=reply_to)
        assert (await one.finished(BOB)).prompt == "as a statue"
        assert len(await one.bot.services.store.jobs_of(BOB)) == 1


async def test_a_hidden_photograph_is_named_and_redraw_this_works(tmp_path: Path) -> None:
    async with wired(tmp_path, two_servers()) as one:
        photo = await one.server.write(ALICE, PUBLIC, "my cat", files=PICTURE)
        await one.server.write(BOB, PUBLIC, f"<@{BOT}> as a statue", reply_to=photo.id)
        await one.eventually(lambda: one.said("Redraw this"))
        opened = await one.server.message_command(BOT, BOB, "Redraw this", photo)
        assert opened is not None
        await one.eventually(lambda: opened.modal)
        await one.server.submit(opened, {1: "as a statue"})
        assert (await one.finished(BOB)).prompt == "as a statue"


STICKER = {"id": str(BASE + 50), "name": "wave", "format_type": 3}
FORWARD = {
    "type": 0,
    "content": "",
    "embeds": [],
    "timestamp": "2026-11-25T12:00:00+00:00",
    "edited_timestamp": None,
    "flags": 0,
    "components": [],
}


async def test_a_recorded_vector_sticker_gets_its_sentence(tmp_path: Path) -> None:
    async with wired(tmp_path, two_servers()) as one:
        await one.server.write(BOB, PUBLIC, f"<@{BOT}> as a statue", stickers=[STICKER])
        await one.eventually(lambda: one.said("vector animation"))


@pytest.mark.parametrize("format_type", [1, 2])
async def test_a_recorded_sticker_is_a_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format_type: int
) -> None:
    async with wired(tmp_path, two_servers()) as one:
        # discord.py makes the link from the sticker's id.
        monkeypatch.setattr(discord.Asset, "BASE", f"http://127.0.0.1:{one.server.port}")
        one.server.cdn[f"{STICKER['id']}.png"] = CAT[1]
        sticker = STICKER | {"format_type": format_type}
        await one.server.write(BOB, PUBLIC, f"<@{BOT}> as a statue", stickers=[sticker])
        job = await one.finished(BOB)
        assert (job.prompt, job.source_name) == ("as a statue", "wave")


async def test_a_recorded_forward_is_a_source(tmp_path: Path) -> None:
    state = two_servers()
    state.content_intent.add(BOT)
    async with wired(tmp_path, state, message_content=True) as one:
        photo = await one.server.write(ALICE, PUBLIC, "my cat", files=PICTURE)
        url = f"http://127.0.0.1:{one.server.port}/attachments/{PUBLIC}/{photo.id}/cat.png"
        file = {"id": "1", "filename": "cat.png", "size": len(CAT[1]), "url": url}
        forward = FORWARD | {"attachments": [file | {"proxy_url": url}]}
        shared = await one.server.write(ALICE, PUBLIC, "", snapshots=[forward], flags=1 << 14)
        await one.server.write(BOB, PUBLIC, f"<@{BOT}> as a statue", reply_to=shared.id)
        assert (await one.finished(BOB)).prompt == "as a statue"
