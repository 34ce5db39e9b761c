"""An answer that was sent as a new message is deleted with its job, as far as it is found."""

from __future__ import annotations

from collections.abc import AsyncIterator

import discord
import pytest
import pytest_asyncio

from bot.delivery.routes import marker
from bot.jobs.job import Job
from tests.support.services import ScriptedService
from tests.support.simulated_discord import SimulatedDiscord, open_shared_discord
from tests.support.simulated_users import press, redraw

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sim(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SimulatedDiscord]:
    folder = tmp_path_factory.mktemp("posted-answers")
    async with open_shared_discord(folder, ScriptedService()) as opened:
        yield opened


async def post(channel: discord.abc.Messageable, job: Job) -> discord.Message:
    view = discord.ui.LayoutView(timeout=None)
    view.add_item(discord.ui.TextDisplay("an answer", id=marker(job.id)))
    return await channel.send(view=view)


@pytest.mark.parametrize(("minutes", "found"), [(-11, False), (-9, True), (9, True), (11, False)])
async def test_a_new_message_is_found_within_ten_minutes_of_its_sending(
    sim: SimulatedDiscord, minutes: int, found: bool
) -> None:
    """The clocks differ: the stored time is `minutes` after that of the message."""
    other, job = await redraw(sim), await redraw(sim)
    elsewhere = sim.env.guild.create_text_channel("elsewhere")
    channel = sim.bot.get_partial_messageable(elsewhere.id)
    before, posted, after = [await post(channel, each) for each in (other, job, other)]
    since = posted.created_at.timestamp() + 60 * minutes
    await sim.bot.services.store.posting(job.id, elsewhere.id, since)
    await press(sim, sim.alice, sim.last, "Delete")
    left = [before.id, after.id] if found else [before.id, posted.id, after.id]
    assert sorted(message.id for message in elsewhere.history()) == left
    assert await sim.bot.services.store.job(job.id) is None
