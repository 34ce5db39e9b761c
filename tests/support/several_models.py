"""A bot with three models in a simulated Discord, and what Alice does there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import discord

from bot.jobs.job import Job
from bot.models import ConfiguredModels
from inference import ModelEntry, ModelState, ModelStatus, find_model
from tests.support.pictures import file_of, photo
from tests.support.services import READY, ScriptedService
from tests.support.simulated_discord import SimulatedDiscord, buttons_of

CAT = ("cat.png", file_of(photo(160, 128)))
# The second may not be used commercially; the third only edits and draws from text.
MODELS = ("sd2-depth", "sdxl-turbo", "klein-4b")


def service(**states: ModelState) -> ScriptedService:
    """A service with these models; they are loaded unless said otherwise."""
    models = tuple(
        ModelStatus(
            name=name,
            state=states.get(name.replace("-", "_"), ModelState.LOADED),
            slots=4,
            load_seconds=20.0,
        )
        for name in MODELS
    )
    return ScriptedService(status=replace(READY, models=models))


async def redraw(sim: SimulatedDiscord, **options: Any) -> Job:
    """The job of a request of Alice."""
    await sim.alice.slash(sim.channel, "img2img", prompt="a fox", image=CAT, **options)
    await sim.settled()
    return (await sim.bot.services.store.jobs_of(sim.alice.id))[0]


async def press(sim: SimulatedDiscord, message: discord.Message, label: str) -> Any:
    """Alice presses a button."""
    return await sim.alice.click(message, custom_id=buttons_of(message)[label])


def said(result: Any) -> str:
    """The text of the only, private reply."""
    (reply,) = [*result.followups] or [result.response]
    assert reply.ephemeral
    return str(reply.content)


@contextmanager
def configured(sim: SimulatedDiscord, *models: str | ModelEntry) -> Iterator[None]:
    """The bot has only these models, by name or entry."""
    services = sim.bot.services
    before = services.models
    entries = [find_model(each) if isinstance(each, str) else each for each in models]
    # The services are frozen.
    object.__setattr__(services, "models", ConfiguredModels(entries))
    try:
        yield
    finally:
        object.__setattr__(services, "models", before)
