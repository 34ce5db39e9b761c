"""The buttons of a private picture: all that they make is for its owner alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import discord
import pytest
import pytest_asyncio

from tests.support.services import ScriptedService
from tests.support.simulated_discord import SimulatedDiscord, buttons_of, open_shared_discord
from tests.support.simulated_users import CAT, newest_job, press, redraw, reply_of, slash

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sim(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SimulatedDiscord]:
    folder = tmp_path_factory.mktemp("private")
    async with open_shared_discord(folder, ScriptedService()) as opened:
        # Something public, so that the channel has a newest message.
        await redraw(opened, opened.bob)
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def private(sim: SimulatedDiscord) -> discord.Message:
    """The ephemeral answer to a private request of Alice."""
    result = await slash(
        sim.alice, sim.channel, "img2img", prompt="secret", image=CAT, private=True
    )
    await sim.settled()
    assert result.response.ephemeral
    return result.response.message  # type: ignore[no-any-return]


async def check_only_alice_sees(sim: SimulatedDiscord, result: Any, before: int) -> None:
    """The answer is ephemeral, has a picture, and is no public message."""
    assert result.response.ephemeral
    assert len(result.response.attachments) == 1
    assert sim.last.id == before


@pytest.mark.parametrize(
    "label", ["Again", "Vary subtle", "Vary strong", "Strengths", "Try styles"]
)
async def test_a_follow_up_of_a_private_picture_is_private(
    sim: SimulatedDiscord, private: discord.Message, label: str
) -> None:
    before = sim.last.id
    await check_only_alice_sees(sim, await press(sim, sim.alice, private, label), before)
    assert (await newest_job(sim, sim.alice)).destination.private


async def test_another_strength_of_a_private_picture_is_private(
    sim: SimulatedDiscord, private: discord.Message
) -> None:
    before = sim.last.id
    menu = next(
        item.custom_id
        for item in discord.ui.LayoutView.from_message(private).walk_children()
        if isinstance(item, discord.ui.Select)
    )
    result = await sim.alice.select(private, ["0.3"], custom_id=menu)
    await sim.settled()
    await check_only_alice_sees(sim, result, before)
    job = await newest_job(sim, sim.alice)
    assert job.destination.private
    assert job.variants[0].strength == 0.3


@pytest.mark.parametrize("label", ["Edit", "Use this"])
async def test_the_form_of_a_private_picture_makes_a_private_one(
    sim: SimulatedDiscord, private: discord.Message, label: str
) -> None:
    before = sim.last.id
    form = await press(sim, sim.alice, private, label)
    prompt = form.modal["components"][0]["component"]["custom_id"]
    result = await sim.alice.submit_modal(form, {prompt: "an owl"})
    await sim.settled()
    await check_only_alice_sees(sim, result, before)
    job = await newest_job(sim, sim.alice)
    assert (job.prompt, job.destination.private) == ("an owl", True)


@pytest.mark.parametrize("label", ["Before/after", "Depth", "Larger"])
async def test_a_view_of_a_private_picture_is_for_its_owner(
    sim: SimulatedDiscord, private: discord.Message, label: str
) -> None:
    before = sim.last.id
    result = await press(sim, sim.alice, private, label)
    await check_only_alice_sees(sim, result, before)
    shown = buttons_of(result.response.message)
    # Only the owner's own button posts it.
    assert "Post for all" in shown
    assert "Remove" not in shown


async def test_four_times_larger_and_the_animation_stay_private(
    sim: SimulatedDiscord, private: discord.Message
) -> None:
    before = sim.last.id
    for first, second in (("Larger", "4 × larger"), ("Before/after", "As an animation")):
        shown = (await press(sim, sim.alice, private, first)).response.message
        result = await press(sim, sim.alice, shown, second)
        await check_only_alice_sees(sim, result, before)


ACTIONS = (
    *("again", "vary", "varystrong", "edit", "use", "strengths", "styles", "select"),
    *("compare", "animate", "depth", "larger", "largerfour", "show", "favourite"),
    *("postcompare", "postdepth", "postlarger", "share", "delete", "cancel", "notify"),
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def forged(sim: SimulatedDiscord, private: discord.Message) -> discord.Message:
    """A public message with buttons for the private picture, as a client that sends custom ids of
    its choice could press them."""
    job_id = buttons_of(private)["Again"].split(":")[2]
    view = discord.ui.LayoutView(timeout=None)
    for start in range(0, len(ACTIONS), 5):
        row: discord.ui.ActionRow[discord.ui.LayoutView] = discord.ui.ActionRow()
        for action in ACTIONS[start : start + 5]:
            row.add_item(discord.ui.Button(label=action, custom_id=f"redraw:{action}:{job_id}:1"))
        view.add_item(row)
    channel = sim.bot.get_channel(sim.channel.id)
    assert isinstance(channel, discord.TextChannel)
    return await channel.send(view=view)


@pytest.mark.parametrize("action", ACTIONS)
async def test_a_button_for_a_private_picture_of_another_user_finds_nothing(
    sim: SimulatedDiscord, forged: discord.Message, action: str
) -> None:
    newest, jobs = sim.last.id, await sim.bot.services.store.jobs_of(sim.bob.id)
    refused = await press(sim, sim.bob, forged, action)
    assert "no longer know this picture" in reply_of(refused)
    assert sim.last.id == newest
    assert await sim.bot.services.store.jobs_of(sim.bob.id) == jobs
