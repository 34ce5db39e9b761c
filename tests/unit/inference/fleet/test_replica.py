"""The replica in Ray Serve's local testing mode: its real worker process, without a cluster."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from inference import (
    DeadlineExceeded,
    ImageResult,
    ModelState,
    OutOfMemory,
    Preview,
    Progress,
    ServiceState,
)
from inference.worker.messages import Failed
from tests.support.requests import request

serve = pytest.importorskip("ray.serve")
from inference.fleet.replica import ProgressReports, Replica, ReplicaStatus  # noqa: E402 - needs Ray

ROOT = Path(__file__).parents[4]


class ReplicaToClose(Replica):
    """A replica that a test can end, as a cluster does by deleting it."""

    async def close(self) -> None:
        await self.__del__()


@pytest.fixture(scope="module")
def handle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    options = {
        "model": "noise",
        "factory": "tests.support.faults:build_engine",
        "cache_dir": tmp_path_factory.mktemp("cache"),
        "environment": {"PYTHONPATH": str(ROOT)},
        "step_deadline": 60.0,
    }
    app = serve.deployment(ReplicaToClose).bind(options, "release")
    handle = serve.run(app, name="test", route_prefix=None, _local_testing_mode=True)
    yield handle
    # Its worker would keep the test process from ending.
    handle.close.remote().result(timeout_s=60)


async def events(handle: Any, id_: str, *, seconds_left: float = 60.0, **options: Any) -> list[Any]:
    stream: AsyncIterator[Any] = handle.options(stream=True).generate.remote(
        request(id=id_, **options), seconds_left
    )
    return [event async for event in stream]


async def test_a_request_streams_its_steps_and_its_result(handle: Any) -> None:
    first, *_, result = await events(handle, "r", steps=3)
    assert isinstance(first, Progress)
    assert (first.step, first.total) == (1, 3)
    assert isinstance(result, ImageResult)


async def test_steps_are_reported_at_intervals_until_the_end(
    handle: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step takes a millisecond."""
    *steps, _ = await events(handle, "many", steps=100)
    assert [step.step for step in steps][:1] == [1]
    assert len(steps) < 50
    monkeypatch.setattr("inference.fleet.replica.PROGRESS_SECONDS", 0.0)
    *steps, _ = await events(handle, "all", steps=100)
    assert [step.step for step in steps] == list(range(1, 101))


def test_a_preview_between_two_reports_is_in_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("inference.fleet.replica.time.monotonic", lambda: now)
    sent: list[Progress] = []
    reports = ProgressReports(sent.append)
    first, second = (Preview(pixels=bytes(3), width=1, height=1) for _ in range(2))
    for step, preview in enumerate([first, None, second, None, None], 1):
        reports.add(Progress(id="p", step=step, total=9, preview=preview))
        now += 0.4
    assert [(each.step, each.preview) for each in sent] == [(1, first), (4, second)]
    assert sent[1].preview is second


async def test_an_error_is_the_last_event(handle: Any) -> None:
    *_, last = await events(handle, "o", prompt="memory", steps=3)
    assert isinstance(last, Failed)
    assert isinstance(last.error, OutOfMemory)


async def test_the_status_and_the_scaling_figures_are_those_of_the_worker(handle: Any) -> None:
    await events(handle, "s", steps=1)
    status: ReplicaStatus = await handle.status.remote(12.5)
    assert status.service.state is ServiceState.READY
    assert status.resident_bytes > 10_000_000
    assert status.running == 0
    assert status.models == ("noise",)
    assert status.step_seconds > 0
    figures = await handle.record_autoscaling_stats.remote()
    assert figures.pop("start_seconds") > 0
    assert figures == {
        "ready": 1.0,
        "slots": status.service.slots,
        "running": 0,
        "oldest_wait": 12.5,
    }


async def test_the_router_learns_the_models_and_their_slots(handle: Any) -> None:
    await events(handle, "router", steps=1)
    stats = await handle.record_routing_stats.remote()
    assert stats["release"] == "release"
    model = stats["models"]["noise"]
    assert (model.name, model.state, model.slots) == ("noise", ModelState.LOADED, 4)


async def test_the_time_until_the_deadline_counts_by_the_clock_of_the_replica(handle: Any) -> None:
    (late,) = await events(handle, "late", deadline=2e9, seconds_left=-1.0)
    assert isinstance(late, Failed)
    assert isinstance(late.error, DeadlineExceeded)


async def test_a_bot_that_no_longer_reports_wants_nothing(
    handle: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await handle.status.remote(100.0)
    assert (await handle.record_autoscaling_stats.remote())["oldest_wait"] == 100.0
    monkeypatch.setattr("inference.fleet.replica.DEMAND_SECONDS", 0.0)
    assert (await handle.record_autoscaling_stats.remote())["oldest_wait"] == 0.0


async def test_a_closed_stream_stops_its_request(handle: Any) -> None:
    stream = handle.options(stream=True).generate.remote(request(id="c", steps=10**6), 60.0)
    async for event in stream:
        assert isinstance(event, Progress)
        break
    status: ReplicaStatus = await handle.status.remote()
    assert status.running == 1
    stream.cancel()
    async with asyncio.timeout(60):
        while (await handle.status.remote()).running:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
