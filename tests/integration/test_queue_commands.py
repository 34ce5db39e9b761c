"""`/queue` and `/cancel`, and a person whose Discord is not English."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from simcord import interactions

from bot.jobs.job import JobState
from inference import OutOfMemory, ServiceState, ServiceStatus
from tests.support.house import House, open_house, text_of
from tests.support.pictures import file_of, photo
from tests.support.services import ScriptedService

CAT = ("cat.png", file_of(photo(160, 128)))


@pytest.fixture
def service() -> ScriptedService:
    """Nothing ends before its gate is opened."""
    service = ScriptedService()
    service.gate.clear()
    return service


@pytest_asyncio.fixture
async def house(tmp_path: Path, service: ScriptedService) -> AsyncIterator[House]:
    async with open_house(tmp_path, service) as opened:
        yield opened


async def ask(house: House, person: Any, prompt: str) -> None:
    await person.slash(house.channel, "img2img", prompt=prompt, image=CAT)


async def said(house: House, person: Any, command: str, **options: Any) -> str:
    """What the command says, to that person alone."""
    result = await person.slash(house.channel, command, **options)
    [answer] = [*result.followups] or [result.response]
    assert answer.ephemeral
    return str(answer.content)


async def test_the_queue_shows_what_runs_and_waits_and_where_one_s_own_stand(
    house: House, service: ScriptedService
) -> None:
    for number in range(5):
        await ask(house, house.alice, f"fox {number}")
    await ask(house, house.bob, "owl")
    text = await said(house, house.bob, "queue")
    running = len(house.bot.services.runner.running)
    waiting = 6 - running
    assert f"**{running}** running, **{waiting}** waiting" in text
    assert "noise: ready" in text
    assert "owl" in text
    assert "fox" not in text
    service.gate.set()
    await house.settled()
    assert "**0** running, **0** waiting" in await said(house, house.alice, "queue")


async def test_cancel_ends_one_s_own_and_everybody_s_only_for_moderators(
    house: House, service: ScriptedService
) -> None:
    await ask(house, house.alice, "fox")
    await ask(house, house.bob, "owl")
    assert await said(house, house.bob, "cancel", everyone=True) == "Cancelled: 1."
    service.gate.set()
    await house.settled()
    (fox,) = await house.bot.services.store.jobs_of(house.alice.id)
    (owl,) = await house.bot.services.store.jobs_of(house.bob.id)
    assert (fox.state, owl.state) == (JobState.DELIVERED, JobState.CANCELLED)


async def test_a_person_whose_discord_is_german_reads_german(
    house: House, service: ScriptedService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The simulated Discord speaks English only; what it sends of a person's language is ours."""
    plain = interactions.base_payload

    def german(*args: Any, **options: Any) -> Any:
        record, payload = plain(*args, **options)
        return record, payload | {"locale": "de"}

    monkeypatch.setattr(interactions, "base_payload", german)
    service.gate.set()
    await ask(house, house.alice, "ein Fuchs")
    await house.settled()
    assert "dieses Bild ist Rauschen" in text_of(house.last)
    service.errors = [OutOfMemory("It does not fit.")]
    await ask(house, house.alice, "ein Wal")
    await house.settled()
    assert "zu groß für den Speicher" in text_of(house.last)
    service.status = ServiceStatus(state=ServiceState.RESTARTING, detail="starting again")
    text = await said(house, house.alice, "queue")
    assert "**0** laufen, **0** warten · Modell noise: startet neu" in text
