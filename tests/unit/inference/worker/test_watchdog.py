"""When a worker counts as hung, in simulated time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from inference.worker.watchdog import LOAD_PHASE_SECONDS, Watchdog
from tests.support.clocks.simulated_time import in_simulated_time, now

LOAD, STEP = 180.0, 120.0


def new() -> Watchdog:
    return Watchdog(load_seconds=LOAD, step_seconds=STEP)


async def seconds_until_hung(watchdog: Watchdog, work: Callable[[], Awaitable[None]]) -> float:
    async def watched() -> None:
        async with watchdog:
            await work()

    with pytest.raises(TimeoutError):
        await watched()
    return now()


@in_simulated_time
async def test_a_silent_start_is_a_hang() -> None:
    watchdog = new()

    async def hang() -> None:
        watchdog.start_phase("compiling the model")
        await asyncio.sleep(10 * LOAD)

    assert await seconds_until_hung(watchdog, hang) == pytest.approx(LOAD)
    assert watchdog.reason == "it did nothing for 180 seconds while compiling the model"


@in_simulated_time
async def test_activity_extends_a_phase_only_up_to_its_limit() -> None:
    """A process that is active but makes no progress is hung, too."""
    watchdog = new()

    async def be_active() -> None:
        while True:
            await asyncio.sleep(1)
            watchdog.reset(busy=False)

    assert await seconds_until_hung(watchdog, be_active) == pytest.approx(LOAD_PHASE_SECONDS)
    assert watchdog.reason == "loading the model took more than 30 minutes"


@in_simulated_time
async def test_each_phase_has_a_limit_of_its_own() -> None:
    async with new() as watchdog:
        for number in range(30):
            watchdog.start_phase(f"downloading part {number}")
            await asyncio.sleep(LOAD - 1)
    assert now() > 2 * LOAD_PHASE_SECONDS


@in_simulated_time
async def test_an_idle_worker_may_be_silent() -> None:
    async with new() as watchdog:
        watchdog.end_loading("cpu")
        watchdog.reset(busy=False)
        await asyncio.sleep(100 * STEP)


@in_simulated_time
async def test_a_silent_worker_with_requests_is_hung() -> None:
    watchdog = new()

    async def hang() -> None:
        watchdog.end_loading("cpu")
        watchdog.reset(busy=False)
        await asyncio.sleep(1000)
        watchdog.request_added()
        await asyncio.sleep(10 * STEP)

    assert await seconds_until_hung(watchdog, hang) == pytest.approx(1000 + STEP)
    assert watchdog.reason == "it took no step for 120 seconds"


@in_simulated_time
async def test_each_message_of_a_busy_worker_gives_it_more_time() -> None:
    async with new() as watchdog:
        watchdog.end_loading("cpu")
        for _ in range(10):
            watchdog.reset(busy=True)
            await asyncio.sleep(STEP - 1)


@in_simulated_time
async def test_requests_that_come_and_go_do_not_hide_a_hang() -> None:
    watchdog = new()

    async def hang() -> None:
        watchdog.end_loading("cpu")
        watchdog.reset(busy=True)
        while True:
            watchdog.request_added()
            watchdog.request_removed(busy=True)
            await asyncio.sleep(1)

    assert await seconds_until_hung(watchdog, hang) == pytest.approx(STEP)


@in_simulated_time
async def test_a_worker_without_requests_is_idle_again() -> None:
    async with new() as watchdog:
        watchdog.end_loading("cpu")
        watchdog.request_added()
        watchdog.request_removed(busy=False)
        await asyncio.sleep(100 * STEP)


@in_simulated_time
async def test_a_request_that_is_removed_while_loading_changes_nothing() -> None:
    watchdog = new()

    async def hang() -> None:
        while True:
            watchdog.request_removed(busy=False)
            await asyncio.sleep(1)

    assert await seconds_until_hung(watchdog, hang) == pytest.approx(LOAD)


@pytest.mark.parametrize(("device", "seconds"), [("cuda", 120), ("cpu", 600), ("other", 600)])
@in_simulated_time
async def test_the_device_decides_how_long_a_step_may_take(device: str, seconds: int) -> None:
    watchdog = Watchdog(load_seconds=1, step_seconds=None)

    async def hang() -> None:
        watchdog.end_loading(device)
        watchdog.reset(busy=True)
        await asyncio.sleep(10_000)

    assert await seconds_until_hung(watchdog, hang) == pytest.approx(seconds)
    assert watchdog.reason == f"it took no step for {seconds} seconds"
