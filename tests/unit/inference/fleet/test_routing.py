"""Requests go where their size already runs, unless that would leave another replica idle."""

from __future__ import annotations

import pytest

from inference.fleet.routing import REMEMBERED_SOURCES, FleetLoad, RoutedRequest
from tests.support.requests import request

WIDE, TALL = (768, 512), (512, 768)
SLOTS = {"a": 8, "b": 8}


def routed(size: tuple[int, int] = WIDE, source: int = 0) -> RoutedRequest:
    return RoutedRequest(size, source)


def test_a_request_joins_its_size() -> None:
    load = FleetLoad()
    load.start("b", "1", routed(WIDE))
    assert load.rank(routed(WIDE, 1), SLOTS) == ["b", "a"]
    assert load.rank(routed(TALL, 1), SLOTS) == ["a", "b"]


def test_most_of_its_size_comes_first() -> None:
    load = FleetLoad()
    load.start("a", "1", routed(WIDE))
    for number in range(2, 4):
        load.start("b", str(number), routed(WIDE, number))
    assert load.rank(routed(WIDE, 9), SLOTS)[0] == "b"


def test_a_known_source_decides_between_equals() -> None:
    load = FleetLoad()
    load.start("b", "1", routed(TALL, source=7))
    load.finish("1")
    assert load.rank(routed(WIDE, source=7), SLOTS) == ["b", "a"]
    assert load.rank(routed(WIDE, source=8), SLOTS) == ["a", "b"]


@pytest.mark.parametrize(("slots", "extra"), [(4, 1), (8, 1), (40, 4)])
def test_a_preference_ends_at_a_tenth_of_the_slots_of_imbalance(slots: int, extra: int) -> None:
    load, available = FleetLoad(), {"a": slots, "b": slots}
    for number in range(extra):
        load.start("b", str(number), routed(WIDE, number))
    assert load.rank(routed(WIDE, 99), available)[0] == "b"
    load.start("b", "one more", routed(WIDE, 98))
    assert load.rank(routed(WIDE, 99), available)[0] == "a"


def test_a_full_replica_comes_last_whatever_it_runs() -> None:
    load = FleetLoad()
    for number in range(2):
        load.start("b", str(number), routed(WIDE, number))
    load.start("a", "x", routed(TALL))
    assert load.rank(routed(WIDE, 9), {"a": 2, "b": 2}) == ["a", "b"]


def test_load_counts_by_slots() -> None:
    load = FleetLoad()
    load.start("a", "1", routed(TALL))
    load.start("b", "2", routed(TALL))
    load.start("b", "3", routed(TALL))
    assert load.rank(routed(WIDE, 9), {"a": 2, "b": 16}) == ["b", "a"]


def test_a_lost_replica_is_forgotten() -> None:
    load = FleetLoad()
    load.start("a", "1", routed(WIDE))
    load.keep({"b"})
    load.finish("1")
    assert load.rank(routed(WIDE, 9), {"a": 1, "b": 1}) == ["a", "b"]


def test_old_sources_are_forgotten() -> None:
    load = FleetLoad()
    for number in range(REMEMBERED_SOURCES + 1):
        load.start("b", str(number), routed(TALL, number))
        load.finish(str(number))
    assert load.rank(routed(WIDE, 0), SLOTS) == ["a", "b"]
    assert load.rank(routed(WIDE, 1), SLOTS) == ["b", "a"]


def test_equal_pixels_are_one_source() -> None:
    first, second = (RoutedRequest.of(request(id=name)) for name in "ab")
    assert first == second


def test_a_request_that_is_sent_elsewhere_counts_there_only() -> None:
    load = FleetLoad()
    load.start("a", "1", routed(WIDE))
    load.start("b", "1", routed(WIDE))
    assert (load.running("a"), load.running("b")) == (0, 1)
    load.finish("1")
    assert load.running("b") == 0
