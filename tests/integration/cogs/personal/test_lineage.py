"""`/show` shows what a picture was made from and what was made from it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

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
from tests.support.simulated_users import CAT, newest_job, press, redraw, reply_of, slash

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def opened(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SimulatedDiscord]:
    folder = tmp_path_factory.mktemp("lineage")
    async with open_shared_discord(folder, ScriptedService()) as sim:
        yield sim


@pytest_asyncio.fixture(loop_scope="module")
async def sim(opened: SimulatedDiscord) -> SimulatedDiscord:
    """The opened Discord, in which no user has pictures."""
    await opened.erase_pictures()
    return opened


def related(message: discord.Message) -> list[tuple[str, str]]:
    """(label, job id) of each related picture in the menu."""
    view = discord.ui.LayoutView.from_message(message)
    return [
        (option.label, option.value)
        for item in view.walk_children()
        if isinstance(item, discord.ui.Select) and item.custom_id == "redraw:related"
        for option in item.options
    ]


async def show(sim: SimulatedDiscord, user: Any, **options: Any) -> Any:
    """The reply; its `message` is the present one."""
    return (await slash(user, sim.channel, "show", **options)).response


async def test_parents_and_children_are_shown_and_steps_lead_to_them(
    sim: SimulatedDiscord,
) -> None:
    first = await redraw(sim, prompt="the first")
    await press(sim, sim.alice, sim.last, "Again")
    second = await newest_job(sim, sim.alice)
    await press(sim, sim.bob, sim.last, "Again")
    third = await newest_job(sim, sim.bob)
    shown = await show(sim, sim.alice, id=second.id)
    assert related(shown.message) == [("↑ the first", first.id), ("↓ the first", third.id)]
    await sim.alice.select(shown.message, [third.id], custom_id="redraw:related")
    shown_ids = [job_id for _, job_id in related(shown.message)]
    assert shown_ids == [second.id, first.id], "the nearest ancestor comes first"
    await press(sim, sim.alice, shown.message, "One step back")
    await press(sim, sim.alice, shown.message, "One step back")
    assert "One step back" not in buttons_of(shown.message)
    assert [job_id for _, job_id in related(shown.message)] == [second.id]
    assert len(shown.message.attachments) == 1


async def test_a_private_picture_of_another_user_is_not_part_of_the_lineage(
    sim: SimulatedDiscord,
) -> None:
    first = await redraw(sim)
    public = sim.last
    await sim.bob.click(public, custom_id=buttons_of(public)["Again"])
    await sim.settled()
    theirs = await newest_job(sim, sim.bob)
    database = sim.bot.services.store.database
    await database.execute(
        "test",
        "UPDATE job SET request = json_set(request, '$.destination.private', json('true')) "
        "WHERE id = ?",
        (theirs.id,),
    )
    assert related((await show(sim, sim.alice, id=first.id)).message) == []
    assert related((await show(sim, sim.bob, id=first.id)).message) == [("↓ a fox", theirs.id)]


async def test_a_related_picture_that_was_deleted_meanwhile_is_refused(
    sim: SimulatedDiscord,
) -> None:
    first = await redraw(sim)
    await press(sim, sim.alice, sim.last, "Again")
    shown = await show(sim, sim.alice)
    await sim.bot.services.store.erase_job(first.id)
    result = await press(sim, sim.alice, shown.message, "One step back")
    assert "no longer know" in reply_of(result)


async def test_show_without_an_id_shows_the_newest_picture(sim: SimulatedDiscord) -> None:
    result = await slash(sim.alice, sim.channel, "show")
    assert "no longer know" in reply_of(result)
    await redraw(sim, prompt="older")
    await redraw(sim, prompt="newest")
    assert "newest" in text_of((await show(sim, sim.alice)).message)


async def test_the_ids_of_own_pictures_are_offered_before_anything_is_typed(
    sim: SimulatedDiscord,
) -> None:
    job = await redraw(sim)
    choices = await sim.alice.autocomplete(sim.channel, "show", "id", "")
    assert [choice["value"] for choice in choices] == [job.id]


async def test_from_links_to_the_message_of_the_result(sim: SimulatedDiscord) -> None:
    await redraw(sim)
    message = sim.last
    await press(sim, sim.bob, message, "Vary subtle")
    assert f"from [an earlier result]({message.jump_url})" in text_of(sim.last)


async def test_from_does_not_link_to_a_private_message(sim: SimulatedDiscord) -> None:
    result = await slash(
        sim.alice, sim.channel, "img2img", prompt="secret", image=CAT, private=True
    )
    await sim.settled()
    shown = await press(sim, sim.alice, result.response.message, "Vary subtle")
    first = (await sim.bot.services.store.jobs_of(sim.alice.id))[1]
    text = text_of(shown.response.message)
    assert f"from result {first.id}" in text
