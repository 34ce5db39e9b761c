"""The number of replicas follows the queue's age and the cost of a start."""

from __future__ import annotations

from dataclasses import replace

import pytest

from inference.fleet.scaling import (
    IDLE_STARTS,
    MIN_IDLE_SECONDS,
    MIN_WAIT_SECONDS,
    FleetLoad,
    ScalingState,
    wanted_replicas,
)

BUSY = FleetLoad(replicas=2, ready=2, slots=4, running=8, oldest_wait=0.0, start_seconds=40.0)
IDLE = replace(BUSY, running=0)


def wanted(load: FleetLoad, state: ScalingState | None = None, now: float = 0.0) -> int:
    return wanted_replicas(load, state or ScalingState(), now)[0]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, 2),
        # Over before a new replica were ready.
        ({"oldest_wait": 40.0}, 2),
        ({"oldest_wait": 40.1}, 3),
        # A fast start is no reason to start for every short wait.
        ({"oldest_wait": MIN_WAIT_SECONDS, "start_seconds": 1.0}, 2),
        ({"oldest_wait": MIN_WAIT_SECONDS + 0.1, "start_seconds": 1.0}, 3),
        # The effect of the last ones is awaited.
        ({"oldest_wait": 900.0, "ready": 1}, 2),
        ({"oldest_wait": 900.0, "replicas": 8, "ready": 8}, 12),
        ({"oldest_wait": 900.0, "replicas": 1, "ready": 1}, 2),
    ],
)
def test_the_fleet_grows_when_the_wait_exceeds_a_start(
    change: dict[str, float], expected: int
) -> None:
    assert wanted(replace(BUSY, **change)) == expected  # type: ignore[arg-type]


def idle_for(seconds: float, load: FleetLoad = IDLE) -> int:
    _, state = wanted_replicas(load, ScalingState(), 100.0)
    return wanted(load, state, 100.0 + seconds)


def test_the_fleet_shrinks_by_one_after_a_while_without_need() -> None:
    assert idle_for(IDLE_STARTS * IDLE.start_seconds - 1) == 2
    assert idle_for(IDLE_STARTS * IDLE.start_seconds) == 1
    quick = replace(IDLE, start_seconds=1.0)
    assert idle_for(MIN_IDLE_SECONDS - 1, quick) == 2
    assert idle_for(MIN_IDLE_SECONDS, quick) == 1
    assert idle_for(1e6, replace(IDLE, replicas=1, ready=1)) == 1


def test_replicas_that_cannot_start_are_removed_when_idle() -> None:
    waiting = replace(IDLE, replicas=4, ready=2, running=4)
    assert wanted(replace(waiting, oldest_wait=900.0)) == 4, "more could not start either"
    assert idle_for(IDLE_STARTS * IDLE.start_seconds, waiting) == 3
    assert idle_for(1e6, replace(waiting, running=5)) == 4
    assert idle_for(1e6, replace(waiting, ready=0, running=0)) == 4


@pytest.mark.parametrize("busy", [{"running": 3}, {"oldest_wait": 1.0}])
def test_a_busy_moment_restarts_the_idle_time(busy: dict[str, float]) -> None:
    _, state = wanted_replicas(IDLE, ScalingState(), 0.0)
    assert wanted(replace(IDLE, running=2), state, 1e6) == 1, "half of the other one's slots"
    _, state = wanted_replicas(replace(IDLE, **busy), state, 10.0)  # type: ignore[arg-type]
    assert state == ScalingState()
