"""Who is next, who may join, and how long it takes: the queue alone, without a store."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.errors import UserError
from bot.jobs.job import Destination, Job, Variant
from bot.jobs.queue import FairQueue, QueueFull, TooSlowForPrivate, UserQueueLimitReached
from inference import Img2ImgResult, Timings

PLACE = Destination(application_id=1, channel_id=2, guild_id=3, message_id=4)


def job(name: str, user: int, *, weight: int = 1, pictures: int = 1, steps: int = 10) -> Job:
    return Job(
        id=name,
        user_id=user,
        destination=PLACE,
        source="",
        source_name="",
        width=64,
        height=64,
        prompt="",
        negative_prompt="",
        steps=steps,
        guidance_scale=1.0,
        variants=tuple(Variant(seed=n, strength=1.0) for n in range(pictures)),
        weight=weight,
        created_at=0.0,
    )


def result(*, steps: int, prepare: float, each: float, decode: float) -> Img2ImgResult:
    timings = Timings(prepare=prepare, steps=steps * each, decode=decode)
    return Img2ImgResult(id="", pixels=b"", width=0, height=0, steps_run=steps, timings=timings)


def measured(queue: FairQueue, *, each: float, around: float = 0.0) -> FairQueue:
    """A queue whose engine takes `each` second a step and `around` them once."""
    queue.estimator.measure(result(steps=10, prepare=around, each=each, decode=0.0))
    return queue


def drained(queue: FairQueue) -> list[str]:
    names = []
    while (next_one := queue.pop()) is not None:
        names.append(next_one.id)
        queue.done(next_one.id)
    return names


def test_ten_people_with_one_job_each_wait_two_rounds_behind_one_with_a_hundred() -> None:
    queue = FairQueue(limit=1000, limit_per_user=1000)
    for n in range(100):
        queue.add(job(f"heavy {n}", user=0))
    for user in range(1, 11):
        queue.add(job(f"light {user}", user=user))
    order = drained(queue)
    assert sorted(order.index(f"light {user}") for user in range(1, 11))[-1] <= 2 * 11 - 1
    assert len(order) == 110


def test_ten_that_come_while_a_hundred_are_worked_off_wait_two_rounds_too() -> None:
    queue = FairQueue(limit=1000, limit_per_user=1000)
    for n in range(100):
        queue.add(job(f"heavy {n}", user=0))
    waited: dict[str, int] = {}
    turns = 0
    for user in range(1, 11):
        for _ in range(3):
            assert queue.pop() is not None
            turns += 1
        queue.add(job(f"light {user}", user=user))
        waited[f"light {user}"] = turns
    while (one := queue.pop()) is not None:
        turns += 1
        if one.id in waited:
            waited[one.id] = turns - waited[one.id]
        if one.user_id:
            assert waited[one.id] <= 2 * 11


def test_a_persons_jobs_keep_their_order() -> None:
    queue = FairQueue()
    for n in range(4):
        queue.add(job(f"a{n}", user=1))
        queue.add(job(f"b{n}", user=2))
    order = drained(queue)
    assert [name for name in order if name[0] == "a"] == ["a0", "a1", "a2", "a3"]
    assert [name for name in order if name[0] == "b"] == ["b0", "b1", "b2", "b3"]


def test_a_weight_of_three_is_three_turns_in_every_round() -> None:
    queue = FairQueue(limit_per_user=100)
    for n in range(6):
        queue.add(job(f"patron {n}", user=1, weight=3))
        queue.add(job(f"guest {n}", user=2))
    order = "".join(name[0] for name in drained(queue))
    assert order == "pppgpppggggg"


def test_a_job_that_comes_back_is_next() -> None:
    queue = FairQueue()
    for user in (1, 2, 3):
        queue.add(job(f"j{user}", user=user))
    back = queue.pop()
    assert back is not None
    queue.done(back.id)
    queue.add_first(back)
    assert drained(queue) == ["j1", "j2", "j3"]


def test_the_shown_order_is_the_order_they_are_taken_in() -> None:
    queue = FairQueue(limit_per_user=100)
    for n in range(20):
        queue.add(job(f"j{n}", user=n % 3, weight=1 + n % 3))
    queue.pop()
    shown = [one.id for one in queue.order()]
    assert list(queue.positions()) == shown
    assert [position.ahead for position in queue.positions().values()] == list(range(19))
    assert drained(queue) == shown


def test_removing_a_job_leaves_the_others() -> None:
    queue = FairQueue()
    for n in range(3):
        queue.add(job(f"j{n}", user=n % 2))
    assert queue.remove("j1") is not None
    assert queue.remove("j1") is None
    assert drained(queue) == ["j0", "j2"]


@pytest.mark.parametrize(
    ("waiting", "running", "refusal"),
    [
        pytest.param([1, 2], [], QueueFull, id="the queue is full"),
        pytest.param([1], [], None, id="one place is left"),
        pytest.param([], [9, 9], UserQueueLimitReached, id="two of one's own run"),
        pytest.param([9], [9], UserQueueLimitReached, id="one of one's own runs and one waits"),
        pytest.param([9], [1, 2, 3], None, id="others run"),
    ],
)
def test_limits(waiting: list[int], running: list[int], refusal: type[UserError] | None) -> None:
    queue = FairQueue(limit=2, limit_per_user=2)
    for n, user in enumerate(running):
        queue.add(job(f"r{n}", user=user))
        assert queue.pop() is not None
    for n, user in enumerate(waiting):
        queue.add(job(f"w{n}", user=user))
    if refusal is None:
        queue.check(job("new", user=9))
    else:
        with pytest.raises(refusal):
            queue.check(job("new", user=9))


def test_a_refusal_says_when_to_come_back_from_measured_times() -> None:
    queue = measured(FairQueue(limit=1), each=30.0)
    queue.add(job("runs", user=1))
    assert queue.pop() is not None
    queue.add(job("waits", user=2))
    with pytest.raises(QueueFull, match="in 5 minutes"):
        queue.check(job("new", user=3))
    queue.stepped("runs", 0, 6)
    with pytest.raises(QueueFull, match="in 3 minutes"):
        queue.check(job("new", user=3))


def test_without_a_measurement_no_number_is_made_up() -> None:
    queue = FairQueue(limit=1)
    queue.add(job("waits", user=2))
    assert queue.positions()["waits"].seconds is None
    with pytest.raises(QueueFull, match="in a few minutes"):
        queue.check(job("new", user=3))


@pytest.mark.parametrize(
    ("slots", "pictures", "seconds"),
    [
        # 10 steps of 1 s and 2 s around them for each picture; 5 steps are left of what runs.
        (1, 1, [5 + 12, 5 + 24, 5 + 36]),
        (2, 1, [12, 17, 24]),
        (1, 2, [5 + 24, 5 + 48, 5 + 72]),
        (4, 4, [17, 29, 41]),
    ],
)
def test_the_estimate_is_what_the_slots_can_do(
    slots: int, pictures: int, seconds: list[float]
) -> None:
    queue = measured(FairQueue(), each=1.0, around=2.0)
    queue.slots = slots
    queue.add(job("runs", user=9))
    assert queue.pop() is not None
    queue.stepped("runs", 0, 5)
    for n in range(3):
        queue.add(job(f"j{n}", user=n, pictures=pictures))
    assert [position.seconds for position in queue.positions().values()] == pytest.approx(seconds)


def test_the_estimate_follows_the_pace() -> None:
    queue = measured(FairQueue(), each=1.0)
    queue.add(job("j", user=1))
    for _ in range(5):
        queue.estimator.measure(result(steps=10, prepare=0.0, each=2.0, decode=0.0))
    seconds = queue.positions()["j"].seconds
    assert seconds is not None
    assert 18.0 < seconds <= 20.0


def test_strength_says_how_many_of_the_steps_are_run() -> None:
    queue = measured(FairQueue(), each=1.0)
    half = replace(job("j", user=1), variants=(Variant(seed=0, strength=0.5),))
    queue.add(half)
    assert queue.positions()["j"].seconds == pytest.approx(5.0)


@pytest.mark.parametrize(("steps", "refused"), [(700, False), (860, True)])
def test_a_private_answer_is_refused_beyond_thirteen_minutes(steps: int, refused: bool) -> None:
    queue = measured(FairQueue(), each=1.0)
    queue.add(job("before", user=1, steps=steps - 10))
    private = replace(job("p", user=2), destination=replace(PLACE, private=True))
    if refused:
        with pytest.raises(TooSlowForPrivate, match="about 15 minutes"):
            queue.check(private)
        queue.check(replace(private, destination=PLACE))
    else:
        queue.check(private)
