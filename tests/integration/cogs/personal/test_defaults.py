"""`/defaults`: what a user sets is used where a request gives no value."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import discord
import pytest
import pytest_asyncio

from bot.store.user_defaults import Notification, UserDefaults
from tests.support.services import ScriptedService
from tests.support.simulated_discord import SimulatedDiscord, open_shared_discord
from tests.support.simulated_users import newest_job, redraw, slash

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def opened(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SimulatedDiscord]:
    folder: Path = tmp_path_factory.mktemp("defaults")
    async with open_shared_discord(folder, ScriptedService(), max_steps=40) as sim:
        yield sim


@pytest_asyncio.fixture(loop_scope="module")
async def sim(opened: SimulatedDiscord) -> SimulatedDiscord:
    """The opened Discord, in which no user has defaults or pictures."""
    for user in (opened.alice, opened.bob):
        await opened.bot.services.store.erase_user(user.id)
    return opened


def menus(message: discord.Message) -> dict[str, discord.ui.Select[Any]]:
    """Field → the menu of the panel."""
    view = discord.ui.LayoutView.from_message(message)
    return {
        item.custom_id.rsplit(":", 1)[1]: item
        for item in view.walk_children()
        if isinstance(item, discord.ui.Select)
    }


async def choose(sim: SimulatedDiscord, **choices: str) -> discord.Message:
    """Open the panel and choose from its menus."""
    result = await slash(sim.alice, sim.channel, "defaults")
    assert result.response.ephemeral
    for field, value in choices.items():
        await sim.alice.select(
            result.response.message, [value], custom_id=f"redraw:default:{field}"
        )
    return result.response.message  # type: ignore[no-any-return]


def selected(menu: discord.ui.Select[Any]) -> list[str]:
    return [option.value for option in menu.options if option.default]


async def test_a_choice_is_stored_and_shown(sim: SimulatedDiscord) -> None:
    message = await choose(
        sim, strength="0.4", style="Anime", steps="10", private="1", notification="direct"
    )
    assert {field: selected(menu) for field, menu in menus(message).items()} == {
        "strength": ["0.4"],
        "style": ["Anime"],
        "steps": ["10"],
        "private": ["1"],
        "notification": ["direct"],
    }
    store = sim.bot.services.store
    assert await store.user_defaults.of(sim.alice.id) == UserDefaults(
        strength=0.4, style="Anime", steps=10, private=True, notification=Notification.DIRECT
    )
    assert await store.user_defaults.of(sim.bob.id) == UserDefaults()


async def test_every_menu_fits_discords_limits_and_the_operators(sim: SimulatedDiscord) -> None:
    offered = menus(await choose(sim))
    assert all(1 <= len(menu.options) <= 25 for menu in offered.values())
    assert all(len(selected(menu)) == 1 for menu in offered.values())
    assert offered["steps"].options[-1].value == "40"


async def test_a_request_takes_the_defaults_where_it_gives_no_value(sim: SimulatedDiscord) -> None:
    await choose(sim, strength="0.4", style="Anime", steps="10", private="1")
    job = await redraw(sim)
    assert (job.variants[0].strength, job.style, job.steps) == (0.4, "Anime", 10)
    assert job.destination.private
    job = await redraw(sim, strength=0.9, style="Clay", steps=12, private=False)
    assert (job.variants[0].strength, job.style, job.steps) == (0.9, "Clay", 12)
    assert not job.destination.private
    assert (await redraw(sim, style="none", private=False)).style is None
    theirs = await redraw(sim, sim.bob)
    assert (theirs.style, theirs.destination.private) == (None, False)


async def test_no_style_is_offered_to_those_with_a_default_style(sim: SimulatedDiscord) -> None:
    async def offered() -> list[str]:
        choices = await sim.alice.autocomplete(sim.channel, "img2img", "style", "no style")
        return [choice["value"] for choice in choices]

    assert await offered() == []
    await choose(sim, style="Anime")
    assert await offered() == ["none"]


async def test_again_has_the_settings_of_the_picture_not_the_defaults(
    sim: SimulatedDiscord,
) -> None:
    await redraw(sim, strength=0.9)
    message = sim.last
    await choose(sim, strength="0.4", style="Anime", private="1")
    [button] = [
        item
        for item in discord.ui.LayoutView.from_message(message).walk_children()
        if isinstance(item, discord.ui.Button) and item.label == "Again"
    ]
    await sim.alice.click(message, custom_id=button.custom_id)
    await sim.settled()
    job = await newest_job(sim, sim.alice)
    assert (job.variants[0].strength, job.style) == (0.9, None)
    assert not job.destination.private


async def test_a_mention_takes_the_defaults_and_stays_public(sim: SimulatedDiscord) -> None:
    await redraw(sim, sim.bob)
    picture = sim.last
    await choose(sim, strength="0.4", private="1")
    assert sim.bot.user is not None
    await sim.alice.send(sim.channel, f"{sim.bot.user.mention} an owl", reply_to=picture)
    await sim.settled()
    job = await newest_job(sim, sim.alice)
    assert job.variants[0].strength == 0.4
    assert not job.destination.private


async def test_a_default_style_that_the_operator_removed_is_left_out(
    sim: SimulatedDiscord,
) -> None:
    defaults = sim.bot.services.store.user_defaults
    await defaults.change(sim.alice.id, style="A style of last year", steps=150)
    job = await redraw(sim)
    assert job.style is None
    assert job.steps == 40
    assert selected(menus(await choose(sim))["style"]) == ["-"]


async def test_defaults_are_exported_and_deleted(sim: SimulatedDiscord) -> None:
    await choose(sim, strength="0.4", notification="mention")
    result = await slash(sim.alice, sim.channel, "privacy export")
    [archive] = [
        file for reply in [result.response, *result.followups] for file in reply.attachments
    ]
    with zipfile.ZipFile(io.BytesIO(await archive.read())) as files:
        exported = json.loads(files.read("settings.json"))
    assert exported["defaults"]["strength"] == 0.4
    assert exported["defaults"]["notification"] == "mention"
    await sim.bot.services.runner.erase(sim.alice.id)
    assert await sim.bot.services.store.user_defaults.of(sim.alice.id) == UserDefaults()
