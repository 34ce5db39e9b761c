"""Who may join the queue, and what a refusal says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.errors import UserError
from bot.jobs.admission import (
    Admission,
    ErasedMeanwhile,
    QueueFull,
    TooManyPictures,
    TooSlowForPrivate,
    UserQueueLimitReached,
)
from bot.jobs.estimate import JobEstimates
from bot.jobs.queue import FairQueue
from tests.support.jobs import DESTINATION, measured
from tests.support.jobs import queued_job as job


def admission(queue: FairQueue, estimates: JobEstimates | None = None, **limits: int) -> Admission:
    return Admission(
        queue, estimates or JobEstimates(queue), **{"limit": 200, "limit_per_user": 5} | limits
    )


@pytest.mark.parametrize(
    ("waiting", "running", "reserved", "pictures", "refusal"),
    [
        pytest.param([1, 2, 3], [], [], 1, None, id="one position is left"),
        pytest.param([1, 2, 3], [], [], 2, QueueFull, id="but not two"),
        pytest.param([1, 2, 3, 4], [], [], 1, QueueFull, id="the queue is full"),
        pytest.param([1, 2], [], [3, 4], 1, QueueFull, id="the rest is reserved"),
        pytest.param([], [1, 2, 3, 4, 5], [], 1, None, id="only others run"),
        pytest.param([], [9, 9], [], 1, UserQueueLimitReached, id="two of the user's run"),
        pytest.param([9], [9], [], 1, UserQueueLimitReached, id="one runs, one waits"),
        pytest.param([9], [], [9], 1, UserQueueLimitReached, id="one waits, one is reserved"),
        pytest.param([9], [], [], 2, UserQueueLimitReached, id="one waits, two are asked for"),
        pytest.param([], [], [], 2, None, id="two at once"),
        pytest.param([], [], [], 3, TooManyPictures, id="more than a user may ever have"),
    ],
)
def test_limits_count_pictures(
    waiting: list[int],
    running: list[int],
    reserved: list[int],
    pictures: int,
    refusal: type[UserError] | None,
) -> None:
    queue = FairQueue()
    for n, user in enumerate(running):
        queue.add(job(f"r{n}", user=user))
        assert queue.pop() is not None
    for n, user in enumerate(waiting):
        queue.add(job(f"w{n}", user=user))
    gate = admission(queue, limit=4, limit_per_user=2)
    for user in reserved:
        gate.reserve(user, 1)
    if refusal is None:
        place = gate.reserve(9, pictures)
        gate.check(job("new", user=9, pictures=pictures), place)
    else:
        with pytest.raises(refusal):
            gate.reserve(9, pictures)


def test_a_job_of_four_pictures_counts_as_four() -> None:
    queue = FairQueue()
    queue.add(job("four", user=9, pictures=4))
    with pytest.raises(
        UserQueueLimitReached, match="4 pictures waiting or being drawn, and at most 5"
    ):
        admission(queue, limit_per_user=5).reserve(9, 2)


def test_more_pictures_than_a_user_may_have_are_refused_with_the_limit() -> None:
    sentence = "^At most 5 pictures per user are allowed here at a time.$"
    with pytest.raises(TooManyPictures, match=sentence):
        admission(FairQueue()).reserve(9, 6)
    admission(FairQueue()).reserve(9, 5)


def test_the_refusal_of_a_user_names_the_time_until_their_own_next_picture() -> None:
    queue = FairQueue()
    estimates = JobEstimates(queue)
    measured(estimates, step=30.0)
    # Ten steps each, one after the other: the other user's job is the first.
    for user in (1, 9):
        queue.add(job(f"of {user}", user=user))
    gate = admission(queue, estimates, limit_per_user=1)
    with pytest.raises(UserQueueLimitReached) as caught:
        gate.reserve(9, 1)
    assert str(caught.value) == (
        "You have 1 picture waiting or being drawn, and at most 1 is allowed. "
        "The next one should be finished in 10 minutes."
    )
    with pytest.raises(UserQueueLimitReached, match="in 5 minutes"):
        gate.reserve(1, 1)


def test_a_released_place_is_free() -> None:
    gate = admission(FairQueue(), limit=1)
    place = gate.reserve(1, 1)
    with pytest.raises(QueueFull):
        gate.reserve(2, 1)
    gate.release(place)
    gate.release(place)
    gate.reserve(2, 1)


def test_erasure_revokes_the_places_of_that_user_only() -> None:
    gate = admission(FairQueue())
    erased, other = gate.reserve(1, 1), gate.reserve(2, 1)
    gate.revoke(1)
    with pytest.raises(ErasedMeanwhile):
        gate.check(job("a", user=1), erased)
    gate.check(job("b", user=2), other)
    gate.check(job("c", user=1), gate.reserve(1, 1))


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
        gate.reserve(3, 1)
    estimates.report_steps(runs, 0, 6)
    with pytest.raises(QueueFull, match="in 3 minutes"):
        gate.reserve(3, 1)


def test_without_a_measurement_there_is_no_number() -> None:
    queue = FairQueue()
    estimates = JobEstimates(queue)
    queue.add(job("waits", user=2))
    assert estimates.positions()["waits"].seconds is None
    with pytest.raises(QueueFull, match="in a few minutes"):
        admission(queue, estimates, limit=1).reserve(3, 1)


@pytest.mark.parametrize(("steps", "refused"), [(700, False), (860, True)])
def test_a_private_answer_is_refused_beyond_thirteen_minutes(steps: int, refused: bool) -> None:
    queue = FairQueue()
    estimates = JobEstimates(queue)
    measured(estimates, step=1.0)
    gate = admission(queue, estimates)
    queue.add(job("before", user=1, steps=steps - 10))
    private = replace(job("p", user=2), destination=replace(DESTINATION, private=True))
    place = gate.reserve(2, 1)
    if refused:
        with pytest.raises(TooSlowForPrivate, match="about 15 minutes"):
            gate.check(private, place)
        gate.check(replace(private, destination=DESTINATION), place)
    else:
        gate.check(private, place)
