"""The texts of `/settings panel`, and its forms after a mistake."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import discord
import pytest_asyncio

from bot.jobs.budgets import EVERYONE, RoleLimits
from cogs.settings._panel import draw_panel
from tests.support.moderation.discord import ModeratedServer, open_moderated_server
from tests.support.simulated_discord import buttons_of, text_of


@pytest_asyncio.fixture
async def server(tmp_path: Path) -> AsyncIterator[ModeratedServer]:
    async with open_moderated_server(tmp_path, moderation=False) as opened:
        yield opened


async def panel(server: ModeratedServer) -> Any:
    return (await server.manager.slash(server.log, "settings panel")).response


async def test_the_panel_shows_the_stored_numbers_and_shows_them_anew(
    server: ModeratedServer,
) -> None:
    shown = await panel(server)
    assert "- Strength: default\n- Pictures are kept for 24 h\n" in text_of(shown.message)
    form = await server.manager.click(shown, custom_id="redraw:settings:numbers")
    numbers = {"strength": "0.5", "retention": "2", "threshold": "0.4", "server": "600"}
    await server.manager.submit_modal(form, numbers)
    await server.sim.env.settle()
    assert (
        "- Strength: 0.5\n- Pictures are kept for 2 h\n- Pictures are refused from the score: 0.4; "
        "in age-restricted channels: default\n- Computing time of the server a day, in seconds: 600"
    ) in text_of(shown.message)
    # The form begins with them.
    form = await server.manager.click(shown, custom_id="redraw:settings:numbers")
    assert form.modal is not None
    fields = [label["component"] for label in form.modal["components"]]
    begun = {field["custom_id"]: field.get("value") for field in fields}
    assert begun.items() >= {"strength": "0.5", "retention": "2", "server": "600"}.items()


async def test_the_texts_of_the_panel_are_in_its_language(server: ModeratedServer) -> None:
    services = server.services
    options = await services.store.guild_settings.options(server.guild_id)
    policy = await services.moderation.lists.policy(server.guild_id)
    children = draw_panel(services, options, policy, "de").walk_children()
    texts = [item.content for item in children if isinstance(item, discord.ui.TextDisplay)]
    assert "- Stärke: Vorgabe\n- Bilder werden 24 h aufbewahrt\n" in "\n".join(texts)


async def test_the_form_of_limits_opens_again_with_the_typed_text(server: ModeratedServer) -> None:
    settings = server.services.store.guild_settings
    await settings.change(
        server.guild_id, limits={EVERYONE: RoleLimits(steps=20, private=True).model_dump()}
    )
    form = await server.manager.click(await panel(server), custom_id="redraw:settings:everyone")
    refused = await server.manager.submit_modal(form, {"steps": "30", "pictures": "many"})
    reply = refused.response or refused.followups[-1]
    custom_id = buttons_of(reply.message)["Correct it"]
    again = await server.manager.click(reply.message, custom_id=custom_id)
    assert again.modal is not None
    fields = [label["component"] for label in again.modal["components"]]
    typed = {field["custom_id"]: field.get("value") for field in fields}
    assert (typed["steps"], typed["pictures"]) == ("30", "many")
    await server.manager.submit_modal(again, {"steps": "30", "pictures": "3"})
    await server.sim.env.settle()
    # The sentence about the mistake became the panel.
    assert "Limits by role" in text_of(reply.message)
    limits = (await settings.options(server.guild_id)).limits
    assert limits == {EVERYONE: RoleLimits(steps=30, pictures=3, private=True)}
