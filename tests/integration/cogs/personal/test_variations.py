"""Variations of a result: subtle and strong, at another strength, in several styles."""

from __future__ import annotations

from collections.abc import AsyncIterator

import discord
import pytest
import pytest_asyncio

from tests.support.services import ScriptedService
from tests.support.simulated_discord import (
    SimulatedDiscord,
    buttons_of,
    open_shared_discord,
    text_of,
)
from tests.support.simulated_users import newest_job, picture_of, press, redraw

pytestmark = pytest.mark.asyncio(loop_scope="module")
SERVICE = ScriptedService()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sim(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SimulatedDiscord]:
    async with open_shared_discord(tmp_path_factory.mktemp("variations"), SERVICE) as opened:
        yield opened


def strengths_of(message: discord.Message) -> dict[str, discord.ui.Select[discord.ui.LayoutView]]:
    view = discord.ui.LayoutView.from_message(message)
    return {
        item.custom_id: item
        for item in view.walk_children()
        if isinstance(item, discord.ui.Select) and ":strength:" in item.custom_id
    }


async def test_vary_is_subtle_or_strong(sim: SimulatedDiscord) -> None:
    parent = await redraw(sim)
    message = sim.last
    found = []
    for label in ("Vary subtle", "Vary strong"):
        await press(sim, sim.alice, message, label)
        child = await newest_job(sim, sim.alice)
        assert child.source == parent.variants[0].result
        found.append(child.variants[0].strength)
    assert found == [0.35, 0.6]


async def test_the_menu_submits_the_same_picture_at_another_strength(
    sim: SimulatedDiscord,
) -> None:
    parent = await redraw(sim, strength=0.7, seed=5, negative_prompt="rain")
    [(custom_id, menu)] = strengths_of(sim.last).items()
    assert menu.placeholder == "Strength 0.7: try another"
    assert "0.7" not in [option.value for option in menu.options]
    await sim.bob.select(sim.last, ["0.3"], custom_id=custom_id)
    await sim.settled()
    child = await newest_job(sim, sim.bob)
    assert (child.variants[0].strength, child.variants[0].seed) == (0.3, 5)
    assert (child.source, child.negative_prompt) == (parent.source, "rain")
    assert child.parent_id == parent.id


async def test_the_menu_acts_on_the_selected_picture(sim: SimulatedDiscord) -> None:
    await redraw(sim, count=2, seed=100)
    message = sim.last
    await press(sim, sim.alice, message, "2")
    message = next(m for m in sim.channel.history() if m.id == message.id)
    [custom_id] = strengths_of(message)
    await sim.alice.select(message, ["0.3"], custom_id=custom_id)
    await sim.settled()
    child = await newest_job(sim, sim.alice)
    assert [variant.seed for variant in child.variants] == [101]


async def test_try_styles_is_one_labelled_sheet_of_six(sim: SimulatedDiscord) -> None:
    await redraw(sim, seed=5, negative_prompt="rain")
    SERVICE.requests.clear()
    await press(sim, sim.alice, sim.last, "Try styles")
    job = await newest_job(sim, sim.alice)
    names = [variant.style for variant in job.variants]
    assert names == list(sim.bot.services.styles.names[:6])
    assert {variant.seed for variant in job.variants} == {5}
    prompts = {request.prompt for request in SERVICE.requests}
    assert len(prompts) == 6
    assert "watercolour painting of a fox, soft washes, paper texture, loose brushwork" in prompts
    assert all(request.negative_prompt.startswith("rain, ") for request in SERVICE.requests)
    assert len(sim.last.attachments) == 1
    sheet = await picture_of(sim.last.attachments[0])
    assert sheet.width > 3 * job.width
    assert sheet.height > 2 * job.height
    assert "**a fox**" in text_of(sim.last)
    shown = buttons_of(sim.last)
    assert {variant.style for variant in job.variants} <= shown.keys()
    assert not {"Try styles", "Strengths"} & shown.keys()
    assert not strengths_of(sim.last)


async def test_a_picture_of_a_sheet_keeps_its_style(sim: SimulatedDiscord) -> None:
    await redraw(sim, seed=5)
    await press(sim, sim.alice, sim.last, "Try styles")
    sheet = sim.last
    await press(sim, sim.alice, sheet, "Pencil sketch")
    sheet = next(m for m in sim.channel.history() if m.id == sheet.id)
    await press(sim, sim.alice, sheet, "Again")
    job = await newest_job(sim, sim.alice)
    assert job.style == "Pencil sketch"
    assert job.prompt.startswith("pencil sketch of a fox")
    assert len(job.variants) == 1


async def test_sheets_survive_a_restart(sim: SimulatedDiscord) -> None:
    await redraw(sim, seed=5)
    await press(sim, sim.alice, sim.last, "Try styles")
    made = await newest_job(sim, sim.alice)
    again = await sim.bot.services.store.job(made.id)
    assert again is not None
    assert again.variants == made.variants
    assert again.prompt_of(again.variants[1]).startswith("oil painting of")
