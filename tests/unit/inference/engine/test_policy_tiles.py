"""The batching policy with requests in tiles."""

from __future__ import annotations

import pytest

from inference.engine.policy import BatchItem, BatchPolicy
from tests.support.requests import request


def test_a_request_keeps_its_room_while_its_tiles_are_encoded() -> None:
    policy = BatchPolicy(row_limit=4, request_limit=64, admission_limit=4)
    tiled = BatchItem(request("tiled"), "size", 2, tiles=9)
    first, second = (BatchItem(request(id_), "size", 2) for id_ in ("first", "second"))
    for one in (tiled, first, second):
        policy.add(one)
    assert policy.admit() == [tiled, first]
    assert policy.preparing == [tiled, first]
    policy.start(first)
    # The tiled request, which is not stepped yet, has the other two rows of the limit.
    assert policy.admit() == []
    assert policy.next_batch() == [first]
    policy.remove("tiled")
    assert policy.preparing == []
    assert policy.admit() == [second]


def test_requests_whose_tiles_are_encoded_count_as_running() -> None:
    policy = BatchPolicy(row_limit=64, request_limit=2, admission_limit=4)
    items = [BatchItem(request(f"t{n}"), f"size{n}", 2, tiles=9) for n in range(3)]
    for one in items:
        policy.add(one)
    assert policy.admit() == items[:2]
    assert policy.admit() == []
    policy.finish(items[0])
    assert policy.admit() == items[2:]


def test_a_key_is_due_when_the_tiles_of_its_request_are_encoded() -> None:
    """Keys of which nothing runs yet do not delay the admission of others."""
    policy = BatchPolicy(row_limit=8, request_limit=8, admission_limit=8)
    tiled = [BatchItem(request(f"t{n}"), f"size{n}", 2, tiles=9) for n in range(2)]
    small = BatchItem(request("small"), "other", 2)
    for one in tiled:
        policy.add(one)
    assert policy.admit() == tiled
    policy.add(small)
    assert policy.admit() == [small]
    policy.start(small)
    assert policy.next_batch() == [small]
    policy.start(tiled[0])
    assert {policy.next_batch()[0] for _ in range(2)} == {small, tiled[0]}


def test_nothing_is_admitted_beside_a_request_that_needs_the_memory_alone() -> None:
    policy = BatchPolicy(row_limit=8, request_limit=8, admission_limit=8)
    tiled = BatchItem(request("tiled"), "size", 2, tiles=9)
    small = BatchItem(request("small"), "size", 2)
    policy.add(tiled)
    assert policy.admit() == [tiled]
    policy.add(small)
    policy.requeue_alone(tiled)
    assert policy.admit() == [tiled]
    assert policy.admit() == []
    policy.start(tiled)
    assert policy.admit() == [small]


@pytest.mark.parametrize(("running", "limit"), [(0, 4), (1, 1), (8, 2), (12, 3), (32, 4)])
def test_a_turn_encodes_one_tile_for_each_eight_rows_of_its_call(running: int, limit: int) -> None:
    policy = BatchPolicy(row_limit=64, request_limit=64, admission_limit=4)
    for number in range(running):
        item = BatchItem(request(f"r{number}"), "size", 2)
        policy.add(item)
        while item not in policy.admit():
            policy.next_batch()
        policy.start(item)
    assert policy.turn_limit == limit


def test_a_turn_prepares_one_request_although_those_of_the_first_key_all_wait() -> None:
    policy = BatchPolicy(row_limit=8, request_limit=16, admission_limit=4)

    def add(key: str, number: int = 1) -> list[BatchItem]:
        items = [BatchItem(request(f"{key}{n}"), key, 2) for n in range(number)]
        for item in items:
            policy.add(item)
        return items

    def admit_and_step(expected: list[BatchItem]) -> None:
        assert policy.admit() == expected
        for item in expected:
            policy.start(item)
        assert set(expected) <= set(policy.next_batch())

    admit_and_step(add("first"))
    (second,) = add("second")
    assert policy.admit() == [second]
    policy.start(second)
    policy.next_batch()
    waiting, again = add("waiting", 4), add("second")
    admit_and_step(again)
    admit_and_step(add("first"))
    assert policy.key_order[0] == "waiting"
    assert policy.turn_limit == 1
    assert policy.admit() == waiting[:1]


def test_tiles_fill_the_rows_that_requests_leave() -> None:
    policy = BatchPolicy(row_limit=8, request_limit=8, admission_limit=8)
    tiled = BatchItem(request("tiled"), "size", 2, tiles=9)
    small = BatchItem(request("small"), "size", 2)
    for one in (tiled, small):
        policy.add(one)
    assert policy.admit() == [tiled, small]
    for one in (tiled, small):
        policy.start(one)
    batch = policy.next_batch()
    assert (batch.count(tiled), batch.count(small)) == (3, 1)
    policy.tiles_predicted(tiled, 3)
    policy.tiles_predicted(small, 1)
    policy.finish(small)
    assert policy.next_batch() == [tiled] * 4
    # The step ends with the ninth tile: the next step depends on all of them.
    policy.tiles_predicted(tiled, 4)
    assert policy.next_batch() == [tiled] * 2


def test_a_request_in_tiles_is_not_passed_over() -> None:
    """The tiles that its step has left fill its calls."""
    policy = BatchPolicy(row_limit=8, request_limit=8, admission_limit=8)
    tiled = BatchItem(request("tiled"), "tiled", 2, tiles=9)
    others = [BatchItem(request(f"o{n}"), "others", 2) for n in range(4)]
    for one in (tiled, *others):
        policy.add(one)
    for _ in range(2):
        for one in policy.admit():
            policy.start(one)
        policy.next_batch()
    assert [policy.next_batch()[0].key for _ in range(6)] == ["tiled", "others"] * 3


def test_no_request_gets_a_second_tile_before_one_that_fits_got_its_first() -> None:
    policy = BatchPolicy(row_limit=8, request_limit=8, admission_limit=8)
    tiled = BatchItem(request("tiled"), "size", 1, tiles=9)
    large = BatchItem(request("large"), "size", 4)
    small = BatchItem(request("small"), "size", 1)
    for one in (tiled, large, small):
        policy.add(one)
    for one in policy.admit():
        policy.start(one)
    policy.lower_row_limit(2)
    assert policy.next_batch() == [tiled, small]
