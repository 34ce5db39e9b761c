"""*Tell me when it is done*: offered for waits over a minute, and remembered."""

from __future__ import annotations

from pathlib import Path

import discord

from bot.store.user_defaults import Notification
from tests.support.services import ScriptedService
from tests.support.simulated_discord import buttons_of, open_shared_discord
from tests.support.simulated_users import CAT, redraw, slash

LABEL = "Tell me when it is done"


async def test_a_long_wait_offers_to_tell_its_owner(tmp_path: Path) -> None:
    service = ScriptedService(reported_seconds=900.0)
    async with open_shared_discord(tmp_path, service) as sim:
        await redraw(sim)
        # The first step does not end: after the last one, the wait is short.
        service.step_seconds = 3600.0
        await slash(sim.alice, sim.channel, "img2img", prompt="slow", image=CAT)
        await sim.shown(LABEL)
        message = sim.last
        custom_id = buttons_of(message)[LABEL]
        refused = await sim.bob.click(message, custom_id=custom_id)
        assert refused.response is not None
        assert "Only the user who asked" in str(refused.response.content)
        asked = await sim.alice.click(message, custom_id=custom_id)
        assert asked.response is not None
        menu = "redraw:default:notification"
        await sim.alice.select(asked.response.message, ["mention"], custom_id=menu)
        view = discord.ui.LayoutView.from_message(asked.response.message)
        [shown] = [item for item in view.walk_children() if isinstance(item, discord.ui.Select)]
        assert [option.value for option in shown.options if option.default] == ["mention"]
        defaults = await sim.bot.services.store.user_defaults.of(sim.alice.id)
        assert defaults.notification is Notification.MENTION
        await slash(sim.alice, sim.channel, "cancel")
        await sim.settled()


async def test_a_short_wait_does_not_offer_it(tmp_path: Path) -> None:
    service = ScriptedService()
    async with open_shared_discord(tmp_path, service) as sim:
        await redraw(sim)
        service.gate.clear()
        await slash(sim.alice, sim.channel, "img2img", prompt="quick", image=CAT)
        await sim.shown("Cancel")
        assert LABEL not in buttons_of(sim.last)
        service.gate.set()
        await sim.settled()
