"""Estimated finish times, from measured step times."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.jobs.estimate import JobEstimates, StepTimeEstimator
from bot.jobs.job import Reference, Variant
from bot.jobs.queue import FairQueue
from inference import ImageResult, Timings
from tests.support.jobs import measured
from tests.support.jobs import queued_job as job
from tests.support.services import READY


@pytest.mark.parametrize(
    ("slots", "pictures", "seconds"),
    [
        # 10 steps of 1 s and 2 s around them for each picture; the running one has 5 steps left.
        (1, 1, [5 + 12, 5 + 24, 5 + 36]),
        (2, 1, [12, 17, 24]),
        (1, 2, [5 + 24, 5 + 48, 5 + 72]),
        (4, 4, [17, 29, 41]),
    ],
)
def test_the_estimate_counts_the_slots(slots: int, pictures: int, seconds: list[float]) -> None:
    queue = FairQueue()
    estimates = JobEstimates(queue)
    measured(estimates, step=1.0, around=2.0)
    estimates.status = replace(READY, slots=slots)
    runs = job("runs", user=9)
    queue.add(runs)
    assert queue.pop() is not None
    estimates.report_steps(runs, 0, 5)
    for n in range(3):
        queue.add(job(f"j{n}", user=n, pictures=pictures))
    found = [position.seconds for position in estimates.positions().values()]
    assert found == pytest.approx(seconds)


def test_the_estimate_counts_all_running_jobs_of_a_model() -> None:
    queue = FairQueue()
    estimates = JobEstimates(queue)
    measured(estimates, step=1.0, around=2.0)
    estimates.status = replace(READY, slots=2)
    for name, left in (("first", 5), ("second", 8)):
        runs = job(name, user=9)
        queue.add(runs)
        assert queue.pop() is not None
        estimates.report_steps(runs, 0, left)
    queue.add(job("waits", user=1))
    assert estimates.positions()["waits"].seconds == pytest.approx(5 + 12)


def test_an_empty_queue_is_free_at_once() -> None:
    assert JobEstimates(FairQueue()).seconds_until_free() == 0.0


def test_positions_follow_the_order_of_the_queue() -> None:
    queue = FairQueue()
    for n in range(20):
        queue.add(job(f"j{n}", user=n % 3, weight=1 + n % 3))
    queue.pop()
    positions = JobEstimates(queue).positions()
    assert list(positions) == [one.id for one in queue.order()]
    assert [position.ahead for position in positions.values()] == list(range(19))


def test_the_estimate_follows_newer_measurements() -> None:
    queue = FairQueue()
    estimates = JobEstimates(queue)
    measured(estimates, step=1.0)
    queue.add(job("j", user=1))
    for _ in range(5):
        measured(estimates, step=2.0)
    seconds = estimates.positions()["j"].seconds
    assert seconds is not None
    assert 18.0 < seconds <= 20.0


def test_the_strength_decides_how_many_steps_are_counted() -> None:
    queue = FairQueue()
    estimates = JobEstimates(queue)
    measured(estimates, step=1.0)
    queue.add(replace(job("j", user=1), variants=(Variant(seed=0, strength=0.5),)))
    assert estimates.positions()["j"].seconds == pytest.approx(5.0)


def test_a_picture_in_tiles_counts_each_tile() -> None:
    queue = FairQueue()
    estimates = JobEstimates(queue)
    measured(estimates, step=1.0, around=2.0)
    # Six tiles of the size of the measured picture.
    tiled = replace(job("tiled", user=1), width=32, height=16, tile=(16, 8))
    queue.add(tiled)
    # Each tile takes ten steps, and is encoded and decoded apart.
    assert estimates.positions()["tiled"].seconds == pytest.approx(6 * (10 + 2))
    # Measured with six tiles, the times of one picture stay the same.
    timings = Timings(prepare=6.0, steps=60.0, decode=6.0)
    result = ImageResult(id="", pixels=b"", width=0, height=0, steps_run=60, timings=timings)
    estimates.measure(tiled, result)
    assert estimates.positions()["tiled"].seconds == pytest.approx(6 * (10 + 2))
    steps = StepTimeEstimator()
    steps.measure(tiled, result)
    assert steps.seconds(tiled, 30) == pytest.approx(30 + 6 * 2)


def test_a_running_job_is_estimated_by_its_own_step_time() -> None:
    now = 100.0
    queue = FairQueue()
    estimates = JobEstimates(queue, clock=lambda: now)
    measured(estimates, step=1.0, around=0.0)
    slow = job("slow", user=1)
    queue.add(slow)
    assert queue.pop() is not None
    estimates.report_steps(slow, 0, 9)
    assert estimates.seconds_left(slow) == pytest.approx(9.0)
    now = 106.0
    estimates.report_steps(slow, 0, 7)
    assert estimates.seconds_left(slow) == pytest.approx(7 * 3.0)
    # Put back, and running again: the steps of the first attempt do not count.
    estimates.forget(slow.id)
    now = 200.0
    estimates.report_steps(slow, 0, 9)
    now = 201.0
    estimates.report_steps(slow, 0, 8)
    assert estimates.seconds_left(slow) == pytest.approx(8.0)


def test_the_estimate_counts_the_pixels_that_an_edit_reads() -> None:
    """The measured job has one picture; an edit reads its source and the further pictures, too."""
    queue = FairQueue()
    estimates = JobEstimates(queue)
    measured(estimates, step=1.0, around=2.0)
    estimates.status = replace(READY, slots=1)
    one = job("j", user=1)
    further = Reference(stored="1" * 64, width=one.width, height=one.height, name="hat.png")
    for references, seconds in (((), 2 + 20.0), ((further,) * 3, 2 + 50.0)):
        edit = replace(one, task="edit", references=references)
        queue.add(edit)
        assert estimates.positions()["j"].seconds == pytest.approx(seconds)
        assert queue.pop() is not None
        estimates.report_steps(edit, 0, 5)
        assert estimates.seconds_left(edit) == pytest.approx(2 + (seconds - 2) / 2)
        queue.done("j")
        estimates.forget("j")
