"""No link opens a message for a user who cannot read it, and no answer is sent where it may not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import discord
import pytest
import pytest_asyncio
from simcord.builders import ChannelHandle

from tests.support.pictures import file_of, photo
from tests.support.services import ScriptedService
from tests.support.simulated_discord import SimulatedDiscord, open_simulated_discord
from tests.support.simulated_users import CAT, redraw, reply_of, slash

DOG = ("dog.png", file_of(photo(100, 80, seed=4)))
UNREADABLE = "I cannot read that message."


@pytest_asyncio.fixture
async def sim(tmp_path: Path) -> AsyncIterator[SimulatedDiscord]:
    async with open_simulated_discord(
        tmp_path, ScriptedService(), queue_limit_per_user=50, message_content=True
    ) as opened:
        yield opened


async def thread_in(sim: SimulatedDiscord, channel: ChannelHandle) -> ChannelHandle:
    """A public thread below a channel."""
    parent = sim.bot.get_channel(channel.id)
    assert isinstance(parent, discord.TextChannel)
    thread = await parent.create_thread(name="thread", type=discord.ChannelType.public_thread)
    await sim.env.settle()
    return next(handle for handle in channel.threads if handle.id == thread.id)


@pytest.mark.parametrize("in_thread", [False, True])
@pytest.mark.parametrize("denied", ["read_message_history", "view_channel"])
async def test_a_link_into_another_channel_needs_both_permissions_there(
    sim: SimulatedDiscord, denied: str, in_thread: bool
) -> None:
    overwrite = discord.PermissionOverwrite(**{denied: False})
    channel = sim.env.guild.create_text_channel("closed", overwrites={sim.bob: overwrite})
    await sim.env.settle()
    where = await thread_in(sim, channel) if in_thread else channel
    message = await sim.alice.send(where, "look", attachments=[DOG])
    refused = await slash(sim.bob, sim.channel, "img2img", prompt="x", url=message.jump_url)
    assert reply_of(refused).startswith(UNREADABLE)
    assert await sim.bot.services.store.jobs_of(sim.bob.id) == []
    job = await redraw(sim, sim.alice, url=message.jump_url)
    assert job.source_channel_id == where.id


@pytest.mark.parametrize("server", ["@me", "{}"])
async def test_a_link_into_the_direct_messages_of_another_user_is_refused(
    sim: SimulatedDiscord, server: str
) -> None:
    dora = sim.env.create_user("dora")
    files = sim.env.backend.store_attachments(dora.dm_channel.id, [CAT])
    theirs = await dora.send_dm("as a statue", attachments=files)
    await sim.settled()
    answer = dora.dm_channel.last_message
    assert answer is not None
    assert answer.attachments
    (job,) = await sim.bot.services.store.jobs_of(dora.id)
    guild = server.format(sim.env.guild.id)
    for message in (theirs, answer):
        url = f"https://discord.com/channels/{guild}/{dora.dm_channel.id}/{message.id}"
        refused = await slash(sim.bob, sim.channel, "img2img", prompt="x", url=url)
        assert reply_of(refused).startswith(UNREADABLE)
        # The same link in the direct messages of a third user.
        eve = sim.env.create_user("eve")
        await eve.send_dm(f"x {url}")
        await sim.settled()
        assert eve.dm_channel.last_message is not None
        assert eve.dm_channel.last_message.content.startswith(UNREADABLE)
        assert await sim.bot.services.store.jobs_of(eve.id) == []
    refused = await slash(sim.bob, sim.channel, "show", id=job.id)
    assert "no longer know" in reply_of(refused)
    assert await sim.bot.services.store.jobs_of(sim.bob.id) == []


@pytest.mark.parametrize("in_thread", [False, True])
@pytest.mark.parametrize("denied", ["send_messages", "send_messages_in_threads"])
async def test_in_a_thread_the_bot_needs_the_permission_for_threads(
    sim: SimulatedDiscord, denied: str, in_thread: bool
) -> None:
    assert sim.bot.user is not None
    overwrites: dict[Any, discord.PermissionOverwrite] = {
        sim.bot.user: discord.PermissionOverwrite(**{denied: False})
    }
    channel = sim.env.guild.create_text_channel("quiet", overwrites=overwrites)
    await sim.env.settle()
    where = channel
    if in_thread:
        await sim.alice.send(channel, "a thread")
        where = await thread_in(sim, channel)
    asked = await slash(sim.alice, where, "img2img", prompt="x", image=CAT)
    await sim.settled()
    jobs = await sim.bot.services.store.jobs_of(sim.alice.id)
    if (denied == "send_messages_in_threads") is in_thread:
        name = "Send Messages in Threads" if in_thread else "Send Messages"
        assert reply_of(asked).endswith(f"I need {name}.")
        assert jobs == []
    else:
        assert len(jobs) == 1
        assert where.last_message is not None
        assert len(where.last_message.attachments) == 1


@pytest.mark.parametrize("allowed", [False, True])
async def test_a_mention_links_to_an_older_message_only_with_the_history_permission(
    sim: SimulatedDiscord, allowed: bool
) -> None:
    overwrite = discord.PermissionOverwrite(read_message_history=allowed)
    channel = sim.env.guild.create_text_channel("unread", overwrites={sim.bob: overwrite})
    await sim.env.settle()
    older = await sim.alice.send(channel, "look", attachments=[DOG])
    assert sim.bot.user is not None
    await sim.bob.send(channel, f"{sim.bot.user.mention} x {older.jump_url}")
    await sim.settled()
    answer = channel.last_message
    assert answer is not None
    assert len(answer.attachments) == allowed
    assert answer.content.startswith(UNREADABLE) is not allowed


async def test_a_direct_message_links_to_an_older_one_of_the_same_user(
    sim: SimulatedDiscord,
) -> None:
    dora = sim.env.create_user("dora")
    files = sim.env.backend.store_attachments(dora.dm_channel.id, [CAT])
    first = await dora.send_dm("as a statue", attachments=files)
    await sim.settled()
    await dora.send_dm(f"as a fox https://discord.com/channels/@me/{dora.dm_channel.id}/{first.id}")
    await sim.settled()
    jobs = await sim.bot.services.store.jobs_of(dora.id)
    assert [job.prompt for job in jobs] == ["as a fox", "as a statue"]
    assert jobs[0].source == jobs[1].source
