"""The fair order of waiting jobs."""

from __future__ import annotations

from dataclasses import replace

from bot.jobs.job import Reference
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


def test_a_weight_of_three_gives_three_of_four_turns() -> None:
    queue = FairQueue()
    for n in range(6):
        queue.add(job(f"patron {n}", user=1, weight=3))
        queue.add(job(f"guest {n}", user=2))
    order = "".join(name[0] for name in drained(queue))
    assert [order[:4].count("p"), order[4:8].count("p")] == [3, 3]
    assert order[8:] == "gggg"


def test_a_user_with_large_jobs_has_fewer_turns() -> None:
    queue = FairQueue()
    for n in range(3):
        queue.add(job(f"large {n}", user=1, pictures=4))
    for n in range(12):
        queue.add(job(f"small {n}", user=2))
    order = [name.split()[0] for name in drained(queue)]
    assert [order[n : n + 5].count("large") for n in (0, 5, 10)] == [1, 1, 1]


def test_more_steps_and_more_pixels_are_a_larger_job() -> None:
    ordinary, steps = job("a", user=1, steps=10), job("b", user=1, steps=30)
    pixels = replace(ordinary, width=ordinary.width * 2)
    assert steps.cost == 3 * ordinary.cost
    assert pixels.cost == 2 * ordinary.cost


def test_a_picture_in_tiles_costs_the_steps_and_pixels_of_all_tiles() -> None:
    ordinary = replace(job("a", user=1), width=192, height=192)
    tiled = replace(ordinary, width=384, height=384, tile=(192, 192))
    assert tiled.tiles == 9
    assert tiled.steps_of(tiled.variants[0]) == 9 * ordinary.steps_of(ordinary.variants[0])
    assert tiled.cost == 9 * ordinary.cost
    assert replace(ordinary, tile=(192, 192)).cost == ordinary.cost


def test_an_edit_also_costs_the_pixels_of_every_picture_that_it_reads() -> None:
    ordinary = job("a", user=1)
    edit = replace(ordinary, task="edit")
    assert edit.cost == 2 * ordinary.cost
    size = {"width": 2 * ordinary.width, "height": ordinary.height}
    reference = Reference(stored="0" * 64, name="b.png", **size)
    assert replace(edit, references=(reference,)).cost == 4 * ordinary.cost


def test_a_user_cannot_gain_turns_by_asking_again_after_each_job() -> None:
    queue = FairQueue()
    for n in range(8):
        queue.add(job(f"patient {n}", user=1))
    queue.add(job("eager 0", user=2))
    order = []
    while (one := queue.pop()) is not None:
        order.append(one.id.split()[0])
        queue.done(one.id)
        if order[-1] == "eager" and len(order) < 12:
            queue.add(job(f"eager {len(order)}", user=2))
    assert [order[n : n + 4].count("eager") for n in (0, 4, 8)] == [2, 2, 2]


def test_the_position_of_a_new_job_is_where_it_will_be() -> None:
    queue = FairQueue()
    for n in range(9):
        queue.add(job(f"j{n}", user=n % 3, pictures=1 + n % 2))
    queue.pop()
    for user in (0, 7):
        new = job(f"new {user}", user=user)
        expected = [one.id for one in queue.order_with(new)]
        queue.add(new)
        assert [one.id for one in queue.order()] == expected


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
