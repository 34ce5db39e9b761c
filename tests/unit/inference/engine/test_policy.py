"""The batching policy by itself: limits, order, fairness, and how full calls are."""

from __future__ import annotations

import random
from collections import Counter
from itertools import pairwise

import pytest

from inference.engine.policy import CLEAN_STEPS, BatchItem, BatchPolicy
from inference.types import ImageRequest


def item(id_: str, key: str = "square", rows: int = 2, row_size: float = 1.0) -> BatchItem:
    request = ImageRequest(
        id=id_,
        pixels=b"",
        width=64,
        height=64,
        prompt="",
        strength=1.0,
        steps=10,
        guidance_scale=1.0,
        seed=0,
    )
    return BatchItem(request, key, rows, row_size)


def ids(items: list[BatchItem]) -> list[str]:
    return [one.request.id for one in items]


def admit_all(policy: BatchPolicy) -> list[str]:
    admitted = policy.admit()
    for one in admitted:
        policy.start(one)
    return ids(admitted)


def start(policy: BatchPolicy, *items: BatchItem) -> None:
    """Add items and take turns until no more are admitted."""
    for one in items:
        policy.add(one)
    idle_turns = 0
    while idle_turns < 20:
        idle_turns = 0 if admit_all(policy) else idle_turns + 1
        policy.next_batch()


def test_rows_are_limited_per_call_and_not_over_all_keys() -> None:
    policy = BatchPolicy(row_limit=8, request_limit=64, admission_limit=64)
    start(policy, *(item(f"{key}{n}", key) for key in "abcd" for n in range(4)))
    assert len(policy.running) == 16
    assert [sum(one.rows for one in policy.next_batch()) for _ in range(4)] == [8] * 4


@pytest.mark.parametrize(("size", "running"), [(0.5, 9), (2.5, 3), (10.0, 1)])
def test_larger_rows_take_more_of_the_limit(size: float, running: int) -> None:
    policy = BatchPolicy(row_limit=8, request_limit=64, admission_limit=64)
    start(policy, *(item(f"a{n}", "edit", 1, size) for n in range(9)))
    assert len(policy.next_batch()) == len(policy.running) == running


def test_the_number_of_running_requests_is_limited() -> None:
    policy = BatchPolicy(row_limit=32, request_limit=5, admission_limit=64)
    start(policy, *(item(f"r{n}", "ab"[n % 2]) for n in range(12)))
    assert len(policy.running) == 5
    assert len(policy.waiting) == 7


def test_a_key_whose_call_is_full_does_not_hold_up_other_keys() -> None:
    policy = BatchPolicy(row_limit=4, request_limit=64, admission_limit=64)
    start(policy, item("a1", "a"), item("a2", "a"), item("a3", "a"), item("b1", "b"))
    assert sorted(ids(list(policy.running))) == ["a1", "a2", "b1"]
    assert ids(list(policy.waiting)) == ["a3"]


def test_a_request_whose_key_is_not_due_keeps_its_room() -> None:
    policy = BatchPolicy(row_limit=8, request_limit=4, admission_limit=64)
    start(policy, item("a1", "a"), item("b1", "b"))
    policy.next_batch()
    due, next_due = policy.key_order
    policy.add(item("c1", "c"))
    policy.add(item("first", str(due)))
    policy.add(item("second", str(next_due)))
    # Two places are left, and one of them is kept for `c1`, which came first.
    assert admit_all(policy) == ["first"]
    assert ids(list(policy.waiting)) == ["c1", "second"]


def test_a_large_request_is_not_overtaken_within_its_key() -> None:
    policy = BatchPolicy(row_limit=3, request_limit=64, admission_limit=64)
    start(policy, item("a1", rows=2), item("a2", rows=2), item("a3", rows=1))
    assert ids(list(policy.running)) == ["a1"]


def test_a_request_larger_than_the_limit_runs_by_itself() -> None:
    policy = BatchPolicy(row_limit=2, request_limit=64)
    start(policy, item("large", rows=4), item("next"))
    assert ids(policy.next_batch()) == ["large"]


def test_admissions_are_bounded_by_the_rows_of_the_turn() -> None:
    policy = BatchPolicy(row_limit=64, request_limit=64, admission_limit=4)
    for n in range(40):
        policy.add(item(f"r{n}"))
    assert len(admit_all(policy)) == 4
    policy.next_batch()
    for admissions in (1, 1, 1, 1, 2):  # 8 rows run: one admission, until 16 run.
        assert len(admit_all(policy)) == admissions
        policy.next_batch()
    start(policy)
    assert len(policy.running) == 32


def test_keys_take_turns() -> None:
    policy = BatchPolicy(row_limit=8, request_limit=64, admission_limit=64)
    start(policy, *(item(f"{key}{n}", key) for key in "abc" for n in range(3)))
    keys = [policy.next_batch()[0].key for _ in range(9)]
    assert keys[:3] * 3 == keys
    assert set(keys) == {"a", "b", "c"}


def test_a_key_with_few_rows_is_passed_over_once_beside_a_full_one() -> None:
    policy = BatchPolicy(row_limit=16, request_limit=64, admission_limit=64)
    start(policy, *(item(f"full{n}", "full") for n in range(8)))
    policy.add(item("few", "few"))
    turns = []
    while "few" not in turns:
        admit_all(policy)
        turns.append(policy.next_batch()[0].key)
    # Its first step is not postponed.
    assert turns == ["full", "few"]
    keys = [policy.next_batch()[0].key for _ in range(6)]
    assert keys == ["full", "full", "few"] * 2


@pytest.mark.parametrize(
    ("few", "other", "limit", "size", "passed_over"),
    [
        # Its call would be at most half full, and the other one has twice as many rows.
        (8, 16, 16, 1.0, True),
        (6, 12, 16, 1.0, True),
        (2, 4, 16, 1.0, True),
        (1, 2, 5, 2.5, True),
        (4, 6, 8, 1.0, False),
        (6, 10, 16, 1.0, False),
        (8, 15, 16, 1.0, False),
        (9, 16, 16, 1.0, False),
    ],
)
def test_only_a_key_with_half_of_the_others_rows_and_of_the_limit_is_passed_over(
    few: int, other: int, limit: int, size: float, passed_over: bool
) -> None:
    policy = BatchPolicy(row_limit=limit, request_limit=64, admission_limit=64)
    start(
        policy,
        *(
            item(f"{key}{n}", key, 1, size)
            for key, rows in (("few", few), ("other", other))
            for n in range(rows)
        ),
    )
    keys = [policy.next_batch()[0].key for _ in range(12)]
    assert keys.count("few") == (4 if passed_over else 6)


def test_a_key_that_is_passed_over_is_stepped_after_all_others() -> None:
    policy = BatchPolicy(row_limit=8, request_limit=64, admission_limit=64)
    start(policy, *(item(f"{key}{n}", key) for key in "ab" for n in range(4)), item("few", "few"))
    keys = "".join(str(policy.next_batch()[0].key)[0] for _ in range(20))
    # Its turn is passed over once: there are two turns of each other key between its steps.
    between = keys.split("f")[1:-1]
    assert len(between) >= 2
    assert set(between) <= {"abab", "baba"}


def test_keys_with_equally_few_rows_are_not_passed_over() -> None:
    policy = BatchPolicy(row_limit=64, request_limit=64, admission_limit=64)
    start(policy, *(item(f"{key}{n}", key) for key in "abc" for n in range(2)))
    keys = [policy.next_batch()[0].key for _ in range(6)]
    assert keys[:3] * 2 == keys
    assert set(keys) == {"a", "b", "c"}


def test_a_limit_lowered_below_what_runs_steps_the_least_recently_stepped_first() -> None:
    policy = BatchPolicy(row_limit=12, request_limit=64, admission_limit=64)
    start(policy, *(item(f"r{n}") for n in range(6)))
    policy.next_batch()
    policy.lower_row_limit(4)
    assert [ids(policy.next_batch()) for _ in range(4)] == [
        ["r0", "r1"],
        ["r2", "r3"],
        ["r4", "r5"],
        ["r0", "r1"],
    ]


def test_a_lowered_limit_rises_slowly_to_where_it_was_and_no_further() -> None:
    policy = BatchPolicy(row_limit=32, request_limit=64)
    for _ in range(15):
        policy.lower_row_limit(policy.row_limit - 2)
    assert policy.row_limit == 2
    limits = []
    for _ in range(30 * 1600):
        policy.step_succeeded()
        limits.append(policy.row_limit)
    assert limits == sorted(limits)
    assert limits[-1] == 32
    assert max(b - a for a, b in pairwise(limits)) == 2


def test_after_one_error_the_limit_is_back_within_a_few_hundred_steps() -> None:
    policy = BatchPolicy(row_limit=32, request_limit=64)
    policy.lower_row_limit(28)
    for limit in (28, 30):
        for _ in range(2 * CLEAN_STEPS):
            assert policy.row_limit == limit
            policy.step_succeeded()
    assert policy.row_limit == 32


def test_an_item_that_must_run_alone_waits_for_the_others_and_is_not_starved() -> None:
    policy = BatchPolicy(row_limit=8, request_limit=64)
    large = item("large")
    start(policy, item("a"), large, item("b"))
    policy.requeue_alone(large)
    policy.add(item("later"))
    assert admit_all(policy) == []
    for one in list(policy.running):
        policy.finish(one)
    assert admit_all(policy) == ["large"]
    assert admit_all(policy) == ["later"]


def test_a_requeued_item_is_admitted_before_all_that_wait() -> None:
    policy = BatchPolicy(row_limit=4, request_limit=64)
    first, second = item("first"), item("second")
    start(policy, first, second, item("third"), item("fourth"))
    policy.requeue_first(first)
    assert ids(list(policy.running)) == ["second"]
    assert ids(list(policy.waiting)) == ["first", "third", "fourth"]
    assert admit_all(policy) == ["first"]


def test_a_removed_item_leaves_nothing_behind() -> None:
    policy = BatchPolicy(row_limit=8, request_limit=64)
    running, waiting, alone = item("r"), item("w"), item("a")
    start(policy, running, alone)
    policy.requeue_alone(alone)
    policy.add(waiting)
    for one in ("r", "w", "a"):
        policy.remove(one)
    assert [*policy.running, *policy.waiting] == []
    assert policy.next_batch() == []
    assert admit_all(policy) == []


def test_of_two_items_that_must_run_alone_only_the_cancelled_one_is_removed() -> None:
    policy = BatchPolicy(row_limit=8, request_limit=64, admission_limit=2)
    first, second = item("first"), item("second")
    start(policy, first, second)
    policy.requeue_alone(first)
    policy.requeue_alone(second)
    policy.remove("first")
    assert ids(list(policy.waiting)) == ["second"]
    assert admit_all(policy) == ["second"]


@pytest.mark.parametrize("keys", [1, 2, 4, 8])
def test_under_random_load_every_wait_is_bounded(keys: int) -> None:
    """A running request takes its first step within two turns of its preparation, and each further
    one within two rounds over the keys; the queue is served in order within a key."""
    rng = random.Random(keys)
    policy = BatchPolicy(row_limit=16, request_limit=32, admission_limit=4)
    left: dict[BatchItem, int] = {}
    stepped: dict[BatchItem, int] = {}
    admitted: dict[str, list[int]] = {}
    gaps: Counter[int] = Counter()
    number = 0
    for turn in range(3000):
        while len(policy.waiting) < 10:
            number += 1
            policy.add(item(str(number), f"key{rng.randrange(keys)}", rng.choice([1, 2, 2])))
        for one in policy.admit():
            policy.start(one)
            left[one] = rng.randrange(1, 20)
            admitted.setdefault(str(one.key), []).append(int(one.request.id))
        batch = policy.next_batch()
        assert len({one.key for one in batch}) == 1
        assert sum(one.rows for one in batch) <= 16
        for one in batch:
            gaps[turn - stepped.get(one, turn - 1)] += 1
            stepped[one] = turn
            left[one] -= 1
            if not left[one]:
                policy.finish(one)
    assert max(gaps) <= 2 * keys
    assert all(order == sorted(order) for order in admitted.values())
