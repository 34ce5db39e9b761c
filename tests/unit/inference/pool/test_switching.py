"""The switching policy by itself: room, order, bounded waits, and how often models are loaded."""

from __future__ import annotations

import random
from collections import deque

import pytest

from inference.pool.switching import (
    MIN_SERVE_SECONDS,
    SERVE_PER_LOAD,
    ModelSize,
    Switch,
    SwitchPolicy,
    serve_seconds,
)


def policy(budget: int = 2, **sizes: int) -> SwitchPolicy:
    """A policy with models of size 1 unless said otherwise."""
    made = SwitchPolicy(budget=budget)
    for name in "abc":
        made.set_size(name, ModelSize(weights=sizes.get(name, 1)))
    return made


def load(made: SwitchPolicy, *names: str, seconds: float = 1.0) -> None:
    """Load models at times 0, 1, ..."""
    for now, name in enumerate(names):
        made.was_loaded(name, seconds=seconds, now=float(now))


def test_nothing_is_loaded_without_a_request_for_it() -> None:
    made = policy()
    load(made, "a")
    assert made.next_switch({}, [], 0.0) is None
    assert made.next_switch({"a": 0.0}, ["a"], 0.0) is None


def test_a_model_is_loaded_at_once_where_there_is_room() -> None:
    made = policy()
    load(made, "a")
    assert made.next_switch({"a": 0.0, "b": 1.0}, ["a"], 1.0) == Switch(
        load="b", unload=(), ready=True
    )


def test_the_least_recently_used_idle_model_moves_out() -> None:
    made = policy()
    load(made, "a", "b")
    made.was_used("b", 5.0)
    made.was_used("a", 6.0)
    assert made.next_switch({"c": 7.0}, [], 7.0) == Switch(load="c", unload=("b",), ready=True)


def test_an_idle_model_moves_out_before_one_with_requests() -> None:
    made = policy()
    load(made, "a", "b")
    made.was_used("b", 9.0)
    switch = made.next_switch({"c": 9.0, "a": 1.0}, ["a"], 9.0)
    assert switch == Switch(load="c", unload=("b",), ready=True)


def test_models_with_requests_are_served_for_a_multiple_of_the_loading_time() -> None:
    made = policy()
    load(made, "a", "b", seconds=100.0)
    made.was_loaded("c", seconds=100.0, now=0.0)
    made.was_unloaded("c")
    made.was_loaded("b", seconds=100.0, now=1.0)
    waiting = {"a": 2.0, "b": 2.0, "c": 2.0}
    due = 1.0 + SERVE_PER_LOAD * 100.0
    assert made.next_switch(waiting, ["a", "b"], due - 1) is None
    switch = made.next_switch(waiting, ["a", "b"], due)
    assert switch == Switch(load="c", unload=("a",), ready=False)
    assert made.next_switch(waiting, ["b"], due) == Switch(load="c", unload=("a",), ready=True)


def test_the_oldest_request_decides_which_model_is_next() -> None:
    made = policy(budget=1)
    load(made, "a")
    switch = made.next_switch({"b": 3.0, "c": 2.0}, [], 4.0)
    assert switch is not None
    assert switch.load == "c"


def test_as_many_models_move_out_as_the_new_one_needs() -> None:
    made = policy(budget=3, c=3)
    load(made, "a", "b")
    assert made.next_switch({"c": 0.0}, [], 2.0) == Switch(load="c", unload=("a", "b"), ready=True)


def test_a_model_larger_than_the_budget_is_loaded_alone() -> None:
    made = policy(budget=2, c=9)
    load(made, "a", "b")
    switch = made.next_switch({"c": 0.0}, [], 2.0)
    assert switch is not None
    assert set(switch.unload) == {"a", "b"}


def test_the_working_memory_counts_once() -> None:
    made = SwitchPolicy(budget=10)
    for name in "ab":
        made.set_size(name, ModelSize(weights=3, working=4))
    load(made, "a")
    assert made.next_switch({"b": 0.0}, [], 0.0) == Switch(load="b", unload=(), ready=True)


def test_a_model_of_unknown_size_is_taken_to_be_as_large_as_the_largest() -> None:
    made = SwitchPolicy(budget=5)
    made.set_size("a", ModelSize(weights=3))
    load(made, "a")
    assert made.next_switch({"b": 0.0}, [], 0.0) == Switch(load="b", unload=("a",), ready=True)


@pytest.mark.parametrize(
    ("load_time", "expected"),
    [(None, MIN_SERVE_SECONDS), (0.1, MIN_SERVE_SECONDS), (20.0, SERVE_PER_LOAD * 20.0)],
)
def test_the_serving_time_follows_the_loading_time(
    load_time: float | None, expected: float
) -> None:
    assert serve_seconds(load_time) == expected


@pytest.mark.parametrize("seed", range(5))
def test_under_overload_waits_are_bounded_and_loading_is_a_fifth(seed: int) -> None:
    """A simulation: requests of three models arrive faster than they can be served."""
    rng = random.Random(seed)
    made, load_time, request_time = policy(), 20.0, 5.0
    now, loads, served, longest, next_arrival = 0.0, 0, 0, 0.0, 0.0
    waiting: dict[str, deque[float]] = {name: deque() for name in "abc"}
    # Since when a model with requests has not been in memory.
    without = dict.fromkeys("abc", 0.0)
    while served < 1000:
        while next_arrival <= now:
            waiting[rng.choice("abc")].append(next_arrival)
            next_arrival += rng.expovariate(1 / 4.0)
        oldest = {name: times[0] for name, times in waiting.items() if times}
        switch = made.next_switch(oldest, [], now)
        if switch is not None:
            for name in switch.unload:
                made.was_unloaded(name)
                without[name] = now
            began = max(without[switch.load], waiting[switch.load][0])
            longest = max(longest, now - began)
            now += load_time
            loads += 1
            made.was_loaded(switch.load, seconds=load_time, now=now)
        ready = [name for name in made.loaded if waiting[name]]
        if ready:
            name = ready[served % len(ready)]
            waiting[name].popleft()
            made.was_used(name, now)
            now += request_time
            served += 1
        else:
            now = max(now, next_arrival)
    assert longest <= serve_seconds(load_time) + load_time + request_time
    assert loads * load_time <= now / (1 + SERVE_PER_LOAD) + 2 * load_time
