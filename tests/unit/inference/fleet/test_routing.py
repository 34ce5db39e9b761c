"""Requests go where their model is loaded and their size runs, unless another replica is idle."""

from __future__ import annotations

import pytest

from inference.fleet.routing import REMEMBERED_SOURCES, FleetLoad, Models, RoutedRequest
from inference.service import ModelState, ModelStatus
from tests.support.requests import request

WIDE, TALL = (768, 512), (512, 768)
LOADED, UNLOADED = ModelState.LOADED, ModelState.UNLOADED


def routed(size: tuple[int, int] = WIDE, source: int = 0, model: str = "m") -> RoutedRequest:
    return RoutedRequest(model, size, source)


def replicas(**slots: int) -> dict[str, Models]:
    """Replicas with the model m and so many slots each."""
    return {
        name: {"m": ModelStatus(name="m", state=LOADED, slots=number)}
        for name, number in slots.items()
    }


def with_models(*states: ModelState, slots: int = 4) -> Models:
    """A replica with the models m and n, in these states."""
    return {
        name: ModelStatus(
            name=name, state=state, slots=1 if state is UNLOADED else slots, loads=state is LOADED
        )
        for name, state in zip("mn", states, strict=True)
    }


SLOTS = replicas(a=8, b=8)


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
    load, available = FleetLoad(), replicas(a=slots, b=slots)
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
    assert load.rank(routed(WIDE, 9), replicas(a=2, b=2)) == ["a", "b"]


def test_load_counts_by_slots() -> None:
    load = FleetLoad()
    load.start("a", "1", routed(TALL))
    load.start("b", "2", routed(TALL))
    load.start("b", "3", routed(TALL))
    assert load.rank(routed(WIDE, 9), replicas(a=2, b=16)) == ["b", "a"]


def test_a_lost_replica_is_forgotten() -> None:
    load = FleetLoad()
    load.start("a", "1", routed(WIDE))
    load.keep({"b"})
    load.finish("1")
    assert load.rank(routed(WIDE, 9), replicas(a=1, b=1)) == ["a", "b"]


def test_old_sources_are_forgotten() -> None:
    load = FleetLoad()
    for number in range(REMEMBERED_SOURCES + 1):
        load.start("b", str(number), routed(TALL, number))
        load.finish(str(number))
    assert load.rank(routed(WIDE, 0), SLOTS) == ["a", "b"]
    assert load.rank(routed(WIDE, 1), SLOTS) == ["b", "a"]


def test_a_source_that_is_used_again_is_remembered_for_longer() -> None:
    load = FleetLoad()
    for number in (*range(REMEMBERED_SOURCES), 0, REMEMBERED_SOURCES):
        load.start("b", str(number), routed(TALL, number))
        load.finish(str(number))
    assert load.rank(routed(WIDE, 0), SLOTS) == ["b", "a"]
    assert load.rank(routed(WIDE, 1), SLOTS) == ["a", "b"]


def test_equal_pixels_are_one_source() -> None:
    first, second = (RoutedRequest.of(request(id=name)) for name in "ab")
    assert first == second


def test_a_request_in_tiles_has_the_size_of_a_tile() -> None:
    """Its calls are those of pictures of that size."""
    large = request(width=1536, height=1024, tile=WIDE)
    assert RoutedRequest.of(large).size == WIDE
    assert RoutedRequest.of(request(width=1536, height=1024)).size == (1536, 1024)


def test_a_model_that_was_not_loaded_yet_has_as_many_slots_as_the_largest_of_the_others() -> None:
    load = FleetLoad()
    models = {
        "m": ModelStatus(name="m", state=LOADED, slots=16, loads=1),
        "n": ModelStatus(name="n", state=LOADED, slots=2, loads=1),
        "new": ModelStatus(name="new", state=UNLOADED),
    }
    fleet = {"a": models, "b": models}
    load.start("a", "new", routed(TALL, 1, "new"))
    for number in range(2, 4):
        load.start("b", str(number), routed(TALL, number, "m"))
    # A sixteenth of the slots of a, and an eighth of those of b.
    assert load.rank(routed(WIDE, 9, "m"), fleet) == ["a", "b"]


def test_a_request_that_is_sent_elsewhere_counts_there_only() -> None:
    load = FleetLoad()
    load.start("a", "1", routed(WIDE))
    load.start("b", "1", routed(WIDE))
    assert (load.running("a"), load.running("b")) == (0, 1)
    load.finish("1")
    assert load.running("b") == 0


def test_a_request_goes_where_its_model_is_loaded() -> None:
    load = FleetLoad()
    fleet = {"a": with_models(LOADED, UNLOADED), "b": with_models(LOADED, LOADED)}
    for number in range(2):
        load.start("b", str(number), routed(source=number, model="n"))
    assert load.rank(routed(TALL, 9, "n"), fleet) == ["b", "a"]
    assert load.rank(routed(TALL, 9, "m"), fleet) == ["a", "b"]


def test_another_replica_loads_the_model_when_those_that_have_it_are_full() -> None:
    load = FleetLoad()
    fleet = {"a": with_models(LOADED, UNLOADED), "b": with_models(LOADED, LOADED)}
    for number in range(4):
        assert load.rank(routed(source=number, model="n"), fleet)[0] == "b"
        load.start("b", str(number), routed(source=number, model="n"))
    # One request is at hand for the next free slot.
    assert load.rank(routed(model="n"), fleet)[0] == "b"
    load.start("b", "at hand", routed(model="n"))
    assert load.rank(routed(model="n"), fleet)[0] == "a"


def test_requests_for_a_model_that_is_loaded_nowhere_go_to_one_replica() -> None:
    load = FleetLoad()
    fleet = {name: with_models(LOADED, UNLOADED) for name in "abc"}
    load.start("a", "busy", routed())
    first = load.rank(routed(model="n"), fleet)[0]
    assert first != "a"
    for number in range(4):
        assert load.rank(routed(source=number, model="n"), fleet)[0] == first
        load.start(first, str(number), routed(source=number, model="n"))


def test_a_replica_that_could_not_load_the_model_comes_last() -> None:
    load = FleetLoad()
    fleet = {"a": with_models(LOADED, ModelState.FAILED), "b": with_models(LOADED, UNLOADED)}
    for number in range(9):
        load.start("b", str(number), routed(source=number, model="m"))
    assert load.rank(routed(model="n"), fleet) == ["b", "a"]
    assert load.rank(routed(model="m"), fleet) == ["a", "b"]


def test_requests_of_another_model_do_not_share_calls() -> None:
    load = FleetLoad()
    fleet = {name: with_models(LOADED, LOADED) for name in "ab"}
    load.start("b", "1", routed(WIDE, 1, "n"))
    assert load.rank(routed(WIDE, 2, "m"), fleet) == ["a", "b"]
    assert load.rank(routed(WIDE, 2, "n"), fleet) == ["b", "a"]


def test_a_known_source_does_not_fill_a_full_replica_further() -> None:
    load = FleetLoad()
    for number in range(3):
        load.start("b", str(number), routed(source=number))
    for number in range(2):
        load.start("a", f"a{number}", routed(source=9))
    assert load.rank(routed(source=0), replicas(a=2, b=2)) == ["a", "b"]


def test_load_counts_the_slots_of_each_model() -> None:
    load = FleetLoad()
    models = {
        name: ModelStatus(name=name, state=LOADED, slots=slots, loads=1)
        for name, slots in {"m": 16, "n": 2}.items()
    }
    load.start("a", "1", routed(TALL, 1, "n"))
    for number in range(2, 5):
        load.start("b", str(number), routed(TALL, number, "m"))
    assert load.rank(routed(WIDE, 9, "n"), {"a": models, "b": models}) == ["b", "a"]


def test_load_counts_the_slots_of_a_model_that_was_unloaded_between_two_reports() -> None:
    load = FleetLoad()
    models = {
        "m": ModelStatus(name="m", state=UNLOADED, slots=16, loads=1),
        "n": ModelStatus(name="n", state=LOADED, slots=2, loads=1),
    }
    load.rank(routed(), {"a": models, "b": models})
    for number in range(2):
        load.start("a", f"a{number}", routed(WIDE, number, "n"))
    for number in range(4):
        load.start("b", f"b{number}", routed(WIDE, number, "m"))
    # All slots of a, and a quarter of those of b.
    assert load.rank(routed(WIDE, 9, "n"), {"a": models, "b": models}) == ["b", "a"]


def test_a_worker_that_starts_again_keeps_its_number_of_slots() -> None:
    """The report that its model is loaded comes seconds later; it is idle until then."""
    load = FleetLoad()
    load.rank(routed(), replicas(a=4, b=4))
    starting = {"m": ModelStatus(name="m", state=UNLOADED)}
    available = {**replicas(a=4), "b": starting}
    for number in range(10):
        one = routed(source=number)
        load.start(load.rank(one, available)[0], str(number), one)
    assert [load.running(name) for name in "ab"] == [5, 5]


def test_a_model_that_was_used_is_loaded_until_the_replica_reports_otherwise() -> None:
    load = FleetLoad()
    fleet = {name: with_models(LOADED, UNLOADED) for name in "ab"}
    load.rank(routed(model="n"), fleet)
    load.start("b", "1", routed(source=1, model="n"))
    load.finish("1")
    assert load.rank(routed(source=2, model="n"), fleet) == ["b", "a"]
    fleet["b"] = with_models(ModelState.FAILED, UNLOADED)
    assert load.rank(routed(source=2, model="n"), fleet) == ["a", "b"]


def test_a_request_that_a_returned_replica_has_lost_may_end() -> None:
    load = FleetLoad()
    load.start("a", "1", routed())
    load.keep(set())
    assert load.rank(routed(TALL), SLOTS) == ["a", "b"]
    load.finish("1")
    assert load.running("a") == 0
