"""`/queue` and `/cancel`, and replies in the user's language."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from simcord import interactions

from bot.jobs.job import JobState
from inference import OutOfMemory, ServiceState, ServiceStatus
from tests.support.pictures import file_of, photo
from tests.support.services import READY, ScriptedService
from tests.support.simulated_discord import SimulatedDiscord, open_simulated_discord, text_of

CAT = ("cat.png", file_of(photo(160, 128)))


@pytest.fixture
def service() -> ScriptedService:
    """No request ends before the test opens the gate."""
    service = ScriptedService()
    service.gate.clear()
    return service


@pytest_asyncio.fixture
async def discord_sim(tmp_path: Path, service: ScriptedService) -> AsyncIterator[SimulatedDiscord]:
    async with open_simulated_discord(tmp_path, service) as opened:
        yield opened


@pytest.mark.parametrize("requests", [1, 2])
async def test_the_note_about_loading_goes_when_the_model_is_ready(
    discord_sim: SimulatedDiscord, service: ScriptedService, requests: int
) -> None:
    service.steps = 0
    service.status = replace(READY, state=ServiceState.LOADING, slots=1)
    for number in range(requests):
        await ask(discord_sim, discord_sim.alice, f"picture {number}")
    await discord_sim.shown("still loading")
    shown = await discord_sim.alice.slash(discord_sim.channel, "queue")
    assert shown.response is not None
    assert "picture 0: waits until the model is loaded" in shown.response.content
    # One of two requests is in the service, the other one waits in the queue.
    service.status = replace(READY, slots=1)
    async with asyncio.timeout(60):
        while any("still loading" in text_of(each) for each in discord_sim.channel.history()):  # noqa: ASYNC110 - simcord has no event for an edit
            await asyncio.sleep(0.02)
    assert any("Queued: you are next" in text_of(each) for each in discord_sim.channel.history())
    shown = await discord_sim.alice.slash(discord_sim.channel, "queue")
    assert shown.response is not None
    assert "picture 0: running now" in shown.response.content
    service.gate.set()
    await discord_sim.settled()


async def ask(discord_sim: SimulatedDiscord, user: Any, prompt: str) -> None:
    await user.slash(discord_sim.channel, "img2img", prompt=prompt, image=CAT)


async def reply_to(discord_sim: SimulatedDiscord, user: Any, command: str, **options: Any) -> str:
    """The text of the command's only reply, which must be ephemeral."""
    result = await user.slash(discord_sim.channel, command, **options)
    [answer] = [*result.followups] or [result.response]
    assert answer.ephemeral
    return str(answer.content)


async def test_queue_shows_the_counts_and_the_positions_of_the_users_own_jobs(
    discord_sim: SimulatedDiscord, service: ScriptedService
) -> None:
    for number in range(5):
        await ask(discord_sim, discord_sim.alice, f"fox {number}")
    await ask(discord_sim, discord_sim.bob, "owl")
    text = await reply_to(discord_sim, discord_sim.bob, "queue")
    running = len(discord_sim.bot.services.runner.running)
    waiting = 6 - running
    assert f"**{running}** running, **{waiting}** waiting" in text
    assert "noise: ready" in text
    assert "owl" in text
    assert "fox" not in text
    service.gate.set()
    await discord_sim.settled()
    assert "**0** running, **0** waiting" in await reply_to(discord_sim, discord_sim.alice, "queue")


async def test_cancel_everyone_ends_only_the_jobs_that_the_user_may_manage(
    discord_sim: SimulatedDiscord, service: ScriptedService
) -> None:
    await ask(discord_sim, discord_sim.alice, "fox")
    await ask(discord_sim, discord_sim.bob, "owl")
    assert (
        await reply_to(discord_sim, discord_sim.bob, "cancel", everyone=True)
        == "1 picture cancelled."
    )
    service.gate.set()
    await discord_sim.settled()
    (fox,) = await discord_sim.bot.services.store.jobs_of(discord_sim.alice.id)
    (owl,) = await discord_sim.bot.services.store.jobs_of(discord_sim.bob.id)
    assert (fox.state, owl.state) == (JobState.DELIVERED, JobState.CANCELLED)


async def test_a_position_has_one_wording_in_the_reply_and_in_the_queue(
    discord_sim: SimulatedDiscord, service: ScriptedService
) -> None:
    service.status = replace(service.status, slots=1)
    for prompt in ("fox", "owl", "cat"):
        await ask(discord_sim, discord_sim.alice, prompt)
    await discord_sim.shown("1 ahead of you")
    text = await reply_to(discord_sim, discord_sim.alice, "queue")
    assert "owl: you are next" in text
    assert "cat: 1 ahead of you" in text
    service.gate.set()


async def test_cancel_without_a_picture_says_so(discord_sim: SimulatedDiscord) -> None:
    text = await reply_to(discord_sim, discord_sim.bob, "cancel")
    assert text == "There is no waiting or running picture to cancel."


async def test_a_user_with_a_german_client_reads_german(
    discord_sim: SimulatedDiscord, service: ScriptedService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """simcord always sends the locale en-US, so the test replaces it."""
    plain = interactions.base_payload

    def german(*args: Any, **options: Any) -> Any:
        record, payload = plain(*args, **options)
        return record, payload | {"locale": "de"}

    monkeypatch.setattr(interactions, "base_payload", german)
    service.gate.set()
    await ask(discord_sim, discord_sim.alice, "ein Fuchs")
    await discord_sim.settled()
    assert "Stärke" in text_of(discord_sim.last)
    service.errors = [OutOfMemory("It does not fit.")]
    await ask(discord_sim, discord_sim.alice, "ein Wal")
    await discord_sim.settled()
    assert "zu groß für den Speicher" in text_of(discord_sim.last)
    service.status = ServiceStatus(state=ServiceState.RESTARTING, detail="starting again")
    text = await reply_to(discord_sim, discord_sim.alice, "queue")
    assert "**0** laufen, **0** warten · Modell noise: startet neu" in text
