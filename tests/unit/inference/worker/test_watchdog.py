"""When a worker counts as hung."""

from __future__ import annotations

import asyncio

import pytest

from inference.worker import watchdog as module
from inference.worker.watchdog import Watchdog


def new(load: float = 0.1, step: float = 0.1) -> Watchdog:
    return Watchdog(load_seconds=load, step_seconds=step)


async def test_a_silent_start_is_a_hang() -> None:
    watchdog = new()

    async def hang() -> None:
        async with watchdog:
            watchdog.start_phase("compiling the model")
            await asyncio.sleep(10)

    with pytest.raises(TimeoutError):
        await hang()
    assert watchdog.reason == "it did nothing for 0 seconds while compiling the model"


async def test_activity_extends_a_phase_only_up_to_its_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A process that is active but makes no progress is hung, too."""
    monkeypatch.setattr(module, "LOAD_PHASE_SECONDS", 0.3)
    watchdog = new(load=0.2)

    async def hang() -> None:
        async with watchdog:
            while True:
                await asyncio.sleep(0.01)
                watchdog.reset(busy=False)

    with pytest.raises(TimeoutError):
        await hang()
    assert watchdog.reason == "loading the model took more than 0 minutes"


async def test_each_phase_has_a_limit_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOAD_PHASE_SECONDS", 0.2)
    async with new(load=0.2) as watchdog:
        for number in range(30):
            watchdog.start_phase(f"downloading part {number}")
            await asyncio.sleep(0.01)


async def test_an_idle_worker_may_be_silent() -> None:
    async with new() as watchdog:
        watchdog.end_loading("cpu")
        watchdog.reset(busy=False)
        await asyncio.sleep(0.3)


async def test_a_silent_worker_with_requests_is_hung() -> None:
    watchdog = new()

    async def hang() -> None:
        async with watchdog:
            watchdog.end_loading("cpu")
            watchdog.reset(busy=False)
            watchdog.request_added()
            await asyncio.sleep(10)

    with pytest.raises(TimeoutError):
        await hang()
    assert watchdog.reason == "it took no step for 0 seconds"


async def test_requests_that_come_and_go_do_not_hide_a_hang() -> None:

    async def hang() -> None:
        async with new() as watchdog:
            watchdog.end_loading("cpu")
            watchdog.reset(busy=True)
            while True:
                watchdog.request_added()
                watchdog.request_removed(busy=True)
                await asyncio.sleep(0.01)

    with pytest.raises(TimeoutError):
        await hang()


async def test_a_request_that_is_removed_while_loading_changes_nothing() -> None:

    async def hang() -> None:
        async with new() as watchdog:
            while True:
                watchdog.request_removed(busy=False)
                await asyncio.sleep(0.01)

    with pytest.raises(TimeoutError):
        await hang()


@pytest.mark.parametrize(("device", "seconds"), [("cuda", 120), ("cpu", 600), ("other", 600)])
async def test_the_device_decides_how_long_a_step_may_take(device: str, seconds: int) -> None:
    async with Watchdog(load_seconds=1, step_seconds=None) as watchdog:
        watchdog.end_loading(device)
        assert watchdog.reason == f"it took no step for {seconds} seconds"
