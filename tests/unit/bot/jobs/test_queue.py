"""The fair order of waiting jobs."""

from __future__ import annotations

from bot.jobs.queue import FairQueue
from tests.support.jobs import queued_job as job


def drained(queue: FairQueue) -> list[str]:
    names = []
    while (next_one := queue.pop()) is not None:
        names.append(next_one.id)
        queue.done(next_one.id)
    return names


def test_one_job_each_of_ten_users_waits_at_most_two_rounds_behind_a_hundred_of_one_user() -> None:
    queue = FairQueue()
    for n in range(100):
        queue.add(job(f"heavy {n}", user=0))
    for user in range(1, 11):
        queue.add(job(f"light {user}", user=user))
    order = drained(queue)
    assert sorted(order.index(f"light {user}") for user in range(1, 11))[-1] <= 2 * 11 - 1
    assert len(order) == 110


def test_users_who_join_later_wait_at_most_two_rounds() -> None:
    queue = FairQueue()
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


def test_the_jobs_of_one_user_keep_their_order() -> None:
    queue = FairQueue()
    for n in range(4):
        queue.add(job(f"a{n}", user=1))
        queue.add(job(f"b{n}", user=2))
    order = drained(queue)
    assert [name for name in order if name[0] == "a"] == ["a0", "a1", "a2", "a3"]
    assert [name for name in order if name[0] == "b"] == ["b0", "b1", "b2", "b3"]


def test_a_weight_of_three_gives_three_turns_per_round() -> None:
    queue = FairQueue()
    for n in range(6):
        queue.add(job(f"patron {n}", user=1, weight=3))
        queue.add(job(f"guest {n}", user=2))
    order = "".join(name[0] for name in drained(queue))
    assert order == "pppgpppggggg"


def test_a_job_that_is_put_back_is_next() -> None:
    queue = FairQueue()
    for user in (1, 2, 3):
        queue.add(job(f"j{user}", user=user))
    back = queue.pop()
    assert back is not None
    queue.done(back.id)
    queue.add_first(back)
    assert drained(queue) == ["j1", "j2", "j3"]


def test_the_shown_order_is_the_order_of_dispatch() -> None:
    queue = FairQueue()
    for n in range(20):
        queue.add(job(f"j{n}", user=n % 3, weight=1 + n % 3))
    queue.pop()
    shown = [one.id for one in queue.order()]
    assert drained(queue) == shown


def test_removing_a_job_keeps_the_others() -> None:
    queue = FairQueue()
    for n in range(3):
        queue.add(job(f"j{n}", user=n % 2))
    assert queue.remove("j1") is not None
    assert queue.remove("j1") is None
    assert drained(queue) == ["j0", "j2"]
