"""A job with new detail is continued after a restart of the bot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bot.jobs.job import JobState
from tests.integration.cogs.img2img.test_new_detail import menu_of
from tests.support.services import ScriptedService
from tests.support.simulated_discord import open_simulated_discord
from tests.support.simulated_users import newest_job, press, redraw


async def test_a_job_with_new_detail_survives_a_restart(tmp_path: Path) -> None:
    service = ScriptedService()
    async with open_simulated_discord(tmp_path, service) as sim:
        await redraw(sim)
        shown: Any = (await press(sim, sim.alice, sim.last, "Larger")).response.message
        service.gate.clear()
        await sim.alice.select(shown, ["0.4"], custom_id=menu_of(shown).custom_id)
        await sim.env.settle()
        second = ScriptedService()
        await sim.restart(second)
        await sim.settled()
        child = await newest_job(sim, sim.alice)
        assert child.state is JobState.DELIVERED
        [request] = second.requests
        assert request.tile == child.tile
        assert (request.width, request.height) == (child.width, child.height)
        assert request.tile is not None
