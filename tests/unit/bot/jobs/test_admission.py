"""Who may join the queue, and what a refusal says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.errors import UserError
from bot.jobs.admission import (
    Admission,
    QueueFull,
    TooSlowForPrivate,
    UserQueueLimitReached,
)
from bot.jobs.estimate import JobEstimates
from bot.jobs.queue import FairQueue
from tests.support.jobs import DESTINATION, measured
from tests.support.jobs import queued_job as job


def admission(queue: FairQueue, estimates: JobEstimates | None = None, **limits: int) -> Admission:
    return Admission(queue, estimates or JobEstimates(queue), **limits)


@pytest.mark.parametrize(
    ("waiting", "running", "refusal"),
    [
        pytest.param([1, 2], [], QueueFull, id="the queue is full"),
        pytest.param([1], [], None, id="one position is left"),
        pytest.param([], [9, 9], UserQueueLimitReached, id="two of the user's own run"),
        pytest.param([9], [9], UserQueueLimitReached, id="one of the user's own runs, one waits"),
        pytest.param([9], [1, 2, 3], None, id="others run"),
    ],
)
def test_limits(waiting: list[int], running: list[int], refusal: type[UserError] | None) -> None:
    queue = FairQueue()
    for n, user in enumerate(running):
        queue.add(job(f"r{n}", user=user))
        assert queue.pop() is not None
    for n, user in enumerate(waiting):
        queue.add(job(f"w{n}", user=user))
    gate = admission(queue, limit=2, limit_per_user=2)
    if refusal is None:
        gate.check(job("new", user=9))
    else:
        with pytest.raises(refusal):
            gate.check(job("new", user=9))


def test_a_refusal_estimates_the_wait_from_measured_times() -> None:
    queue = FairQueue()
    estimates = JobEstimates(queue)
    measured(estimates, step=30.0)
    gate = admission(queue, estimates, limit=1)
    runs = job("runs", user=1)
    queue.add(runs)
    assert queue.pop() is not None
    queue.add(job("waits", user=2))
    with pytest.raises(QueueFull, match="in 5 minutes"):
        gate.check(job("new", user=3))
    estimates.report_steps(runs, 0, 6)
    with pytest.raises(QueueFull, match="in 3 minutes"):
        gate.check(job("new", user=3))


def test_without_a_measurement_there_is_no_number() -> None:
    queue = FairQueue()
    estimates = JobEstimates(queue)
    queue.add(job("waits", user=2))
    assert estimates.positions()["waits"].seconds is None
    with pytest.raises(QueueFull, match="in a few minutes"):
        admission(queue, estimates, limit=1).check(job("new", user=3))


@pytest.mark.parametrize(("steps", "refused"), [(700, False), (860, True)])
def test_a_private_answer_is_refused_beyond_thirteen_minutes(steps: int, refused: bool) -> None:
    queue = FairQueue()
    estimates = JobEstimates(queue)
    measured(estimates, step=1.0)
    gate = admission(queue, estimates)
    queue.add(job("before", user=1, steps=steps - 10))
    private = replace(job("p", user=2), destination=replace(DESTINATION, private=True))
    if refused:
        with pytest.raises(TooSlowForPrivate, match="about 15 minutes"):
            gate.check(private)
        gate.check(replace(private, destination=DESTINATION))
    else:
        gate.check(private)
