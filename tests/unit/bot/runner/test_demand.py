"""The inference service learns how long the oldest job waits."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from bot.jobs.queue import FairQueue
from bot.runner import demand
from bot.runner.demand import report_demand
from tests.support.jobs import job
from tests.support.services import ScriptedService

NOW = 1000.0


@pytest.mark.parametrize(
    ("created", "expected"),
    [([], 0.0), ([NOW - 5], 5.0), ([NOW - 5, NOW - 70, NOW], 70.0), ([NOW + 60], 0.0)],
)
async def test_the_age_of_the_oldest_waiting_job_is_reported(
    created: list[float], expected: float
) -> None:
    queue, service = FairQueue(), ScriptedService()
    for number, at in enumerate(created):
        queue.add(job(created_at=at, user_id=number))
    task = asyncio.create_task(report_demand(queue, service, lambda: None, lambda: NOW))
    while service.oldest_wait is None:  # noqa: ASYNC110 - the task runs in the next turn
        await asyncio.sleep(0)
    task.cancel()
    assert service.oldest_wait == expected


async def test_new_slots_are_filled_without_waiting_for_a_job_to_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(demand, "REPORT_SECONDS", 0.0)
    queue, service, dispatched = FairQueue(), ScriptedService(), asyncio.Event()
    task = asyncio.create_task(report_demand(queue, service, dispatched.set, lambda: NOW))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not dispatched.is_set()
    service.status = replace(service.status, slots=9)
    async with asyncio.timeout(60):
        await dispatched.wait()
    task.cancel()
