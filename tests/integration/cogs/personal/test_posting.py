"""Comparisons, animations, depth maps and enlarged pictures that their owner posts for all."""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import AsyncIterator
from typing import Any

import discord
import pytest
import pytest_asyncio
from PIL import Image

from tests.support.services import ScriptedService
from tests.support.simulated_discord import (
    SimulatedDiscord,
    buttons_of,
    open_shared_discord,
    text_of,
)
from tests.support.simulated_users import CAT, press, redraw, reply_of, slash

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sim(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SimulatedDiscord]:
    folder = tmp_path_factory.mktemp("posting")
    async with open_shared_discord(folder, ScriptedService(), message_content=True) as opened:
        yield opened


async def frames_in(message: discord.Message) -> int:
    [attachment] = message.attachments
    with Image.open(io.BytesIO(await attachment.read())) as image:
        return int(getattr(image, "n_frames", 1))


@pytest.mark.parametrize("label", ["Before/after", "Depth"])
async def test_the_owner_posts_what_they_were_shown(sim: SimulatedDiscord, label: str) -> None:
    job = await redraw(sim)
    shown = (await press(sim, sim.alice, sim.last, label)).response
    assert shown.ephemeral
    posted = (await press(sim, sim.alice, shown.message, "Post for all")).response
    assert not posted.ephemeral
    assert "**a fox**" in text_of(posted.message)
    assert sim.alice.mention in text_of(posted.message)
    assert len(posted.message.attachments) == 1
    posted_id = posted.message.id
    assert reply_of(await press(sim, sim.bob, posted.message, "Remove"))
    assert posted_id in {m.id for m in sim.channel.history()}
    await press(sim, sim.alice, posted.message, "Remove")
    assert posted_id not in {m.id for m in sim.channel.history()}
    assert await sim.bot.services.store.job(job.id), "the picture itself stays"


async def test_before_and_after_become_an_animation(sim: SimulatedDiscord) -> None:
    await redraw(sim)
    shown = (await press(sim, sim.alice, sim.last, "Before/after")).response
    await press(sim, sim.alice, shown.message, "As an animation")
    assert await frames_in(shown.message) > 10
    assert set(buttons_of(shown.message)) == {"Post for all"}
    posted = (await press(sim, sim.alice, shown.message, "Post for all")).response
    assert await frames_in(posted.message) > 10


async def test_others_see_the_animation_and_cannot_post(sim: SimulatedDiscord) -> None:
    await redraw(sim)
    message = sim.last
    theirs = (await press(sim, sim.bob, message, "Before/after")).response
    assert set(buttons_of(theirs.message)) == {"As an animation"}
    await press(sim, sim.bob, theirs.message, "As an animation")
    assert buttons_of(theirs.message) == {}


async def test_a_source_of_another_channel_is_not_posted(sim: SimulatedDiscord) -> None:
    other = sim.env.guild.create_text_channel("other")
    found = await sim.bob.send(other, "look", attachments=[CAT])
    url = f"https://discord.com/channels/{sim.env.guild.id}/{other.id}/{found.id}"
    job = await redraw(sim, url=url)
    assert job.source_channel_id == other.id
    shown = (await press(sim, sim.alice, sim.last, "Before/after")).response
    refused = await press(sim, sim.alice, shown.message, "Post for all")
    assert "is from another channel" in reply_of(refused)


async def test_a_spoiler_stays_one_when_it_is_posted(sim: SimulatedDiscord) -> None:
    image = (f"SPOILER_{CAT[0]}", CAT[1])
    await slash(sim.alice, sim.channel, "img2img", prompt="x", image=image)
    await sim.settled()
    shown = (await press(sim, sim.alice, sim.last, "Before/after")).response
    posted = (await press(sim, sim.alice, shown.message, "Post for all")).response
    assert all(each.is_spoiler() for each in posted.message.attachments)


async def test_the_owners_reaction_removes_a_posted_comparison_only(sim: SimulatedDiscord) -> None:
    job = await redraw(sim)
    shown = (await press(sim, sim.alice, sim.last, "Depth")).response
    posted: Any = (await press(sim, sim.alice, shown.message, "Post for all")).response.message
    await sim.alice.react(posted, "❌")
    await sim.settled()
    assert posted.id not in {m.id for m in sim.channel.history()}
    assert await sim.bot.services.store.job(job.id)


async def test_larger_below_an_ephemeral_reply_is_ephemeral(sim: SimulatedDiscord) -> None:
    job = await redraw(sim)
    for name in ("show", "history"):
        options = {"id": job.id} if name == "show" else {}
        shown = (await slash(sim.alice, sim.channel, name, **options)).response
        if name == "history":
            shown = (await press(sim, sim.alice, shown.message, "Show")).response
        larger = (await press(sim, sim.alice, shown.message, "Larger")).response
        assert larger.ephemeral
        assert "Remove" not in buttons_of(larger.message)
    larger = (await press(sim, sim.alice, larger.message, "4 × larger")).response
    assert larger.ephemeral
    posted = (await press(sim, sim.alice, larger.message, "Post for all")).response
    assert not posted.ephemeral
    assert "Remove" in buttons_of(posted.message)


async def test_a_second_enlargement_of_a_user_is_refused(sim: SimulatedDiscord) -> None:
    await redraw(sim)
    message = sim.last
    gate = threading.Event()
    work = sim.bot.services.slow_work
    first = asyncio.create_task(work.run(sim.alice.id, lambda: gate.wait(20)))
    await asyncio.sleep(0)
    refused = await press(sim, sim.alice, message, "Larger")
    assert "still preparing another picture" in reply_of(refused)
    gate.set()
    await first
    assert not (await press(sim, sim.alice, message, "Larger")).response.ephemeral


async def test_larger_in_another_channel_is_ephemeral(sim: SimulatedDiscord) -> None:
    job = await redraw(sim)
    other = sim.env.guild.create_text_channel("elsewhere")
    shown = (await slash(sim.alice, other, "show", id=job.id)).response
    larger = (await press(sim, sim.alice, shown.message, "Larger")).response
    assert larger.ephemeral
    assert "Post for all" not in buttons_of(larger.message)
    assert other.last_message is None


@pytest.mark.parametrize("how", ["Delete", "❌"])
async def test_posted_copies_are_deleted_with_their_picture(
    sim: SimulatedDiscord, how: str
) -> None:
    job = await redraw(sim)
    message = sim.last
    larger = (await press(sim, sim.alice, message, "Larger")).response.message
    shown = (await press(sim, sim.alice, message, "Before/after")).response.message
    both = (await press(sim, sim.alice, shown, "Post for all")).response.message
    posted = {message.id, larger.id, both.id}
    assert posted <= {m.id for m in sim.channel.history()}
    if how == "Delete":
        await press(sim, sim.alice, message, how)
    else:
        await sim.alice.react(message, how)
        await sim.settled()
    assert posted.isdisjoint({m.id for m in sim.channel.history()})
    assert await sim.bot.services.store.job(job.id) is None
