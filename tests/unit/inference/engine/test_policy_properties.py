"""The batch policy under any sequence of requests, cancellations and memory errors."""

from __future__ import annotations

import itertools
import math
from collections import Counter

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from inference.engine.policy import MIN_ROWS, BatchItem, BatchPolicy
from tests.support.requests import request

KEYS = 3
ROW_SIZES = (1.0, 0.5, 2.0)
ROW_LIMIT, REQUEST_LIMIT, ADMISSIONS = 6, 5, 2


class PolicyMachine(RuleBasedStateMachine):
    """Takes turns as the engine's loop does, and counts the steps of every request.

    `steps_left` counts a step once for each tile.
    """

    def __init__(self) -> None:
        super().__init__()
        self.policy = BatchPolicy(
            row_limit=ROW_LIMIT, request_limit=REQUEST_LIMIT, admission_limit=ADMISSIONS
        )
        self.numbers = itertools.count()
        self.steps_left: dict[BatchItem, int] = {}
        self.tiles_to_encode: dict[BatchItem, int] = {}
        self.turns_without_step: dict[BatchItem, int] = {}
        self.lowest_row_limit: float = ROW_LIMIT

    @rule(
        key=st.integers(0, KEYS - 1),
        rows=st.integers(1, 2),
        row_size=st.sampled_from(ROW_SIZES),
        steps=st.integers(1, 5),
        tiles=st.sampled_from([1, 1, 2, 5]),
    )
    def add(self, key: int, rows: int, row_size: float, steps: int, tiles: int) -> None:
        item = BatchItem(request(f"r{next(self.numbers)}"), key, rows, row_size, tiles)
        self.steps_left[item] = steps * tiles
        self.policy.add(item)

    @precondition(lambda self: self.steps_left)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        item = data.draw(st.sampled_from(list(self.steps_left)))
        self.policy.remove(item.request.id)
        del self.steps_left[item]
        self.turns_without_step.pop(item, None)
        self.tiles_to_encode.pop(item, None)

    @rule(oom=st.sampled_from(["", "", "", "batch", "alone", "encoding"]))
    def turn(self, oom: str = "") -> None:
        admitted = self.policy.admit()
        if self.policy.waiting and not admitted:
            assert self.policy.running or self.policy.preparing, "a request waits for nothing"
        assert len(admitted) <= ADMISSIONS
        for item in admitted:
            if item.tiles > 1:
                self.tiles_to_encode[item] = item.tiles
            else:
                self.start(item)
        self.encode_tiles(oom)
        batch = self.policy.next_batch()
        load = sum(item.load for item in batch)
        assert bool(batch) == bool(self.policy.running)
        assert len({item.key for item in batch}) <= 1
        assert len(batch) == 1 or load <= self.policy.row_limit
        tiles = Counter(batch)
        for item, number in tiles.items():
            assert number <= self.tiles_left_of_step(item)
        self.check_that_tiles_fill_the_call(tiles)
        if oom == "batch" and len(batch) > 1:
            # As the loop does it: fewer rows; here the last one begins again, too.
            self.policy.lower_row_limit(load - batch[-1].load)
            self.lowest_row_limit = min(self.lowest_row_limit, self.policy.row_limit)
            self.restart(batch[-1])
            self.policy.requeue_first(batch[-1])
            return
        if oom == "alone" and len(batch) == 1 and len(self.policy.running) > 1:
            self.restart(batch[0])
            self.policy.requeue_alone(batch[0])
            return
        if batch:
            self.policy.step_succeeded()
        for item in list(self.turns_without_step):
            self.turns_without_step[item] = (
                0 if item in batch else self.turns_without_step[item] + 1
            )
        for item, number in tiles.items():
            self.steps_left[item] -= number
            self.policy.tiles_predicted(item, number)
            if not self.steps_left[item]:
                self.policy.finish(item)
                del self.steps_left[item], self.turns_without_step[item]

    def start(self, item: BatchItem) -> None:
        self.policy.start(item)
        self.turns_without_step[item] = 0

    def encode_tiles(self, oom: str) -> None:
        """Encode some tiles of the first request that has tiles to encode."""
        if not self.tiles_to_encode:
            return
        item = next(iter(self.tiles_to_encode))
        if oom == "encoding" and len(self.policy.running) + len(self.policy.preparing) > 1:
            del self.tiles_to_encode[item]
            self.policy.requeue_alone(item)
            return
        assert 1 <= self.policy.turn_limit <= ADMISSIONS
        self.tiles_to_encode[item] -= self.policy.turn_limit
        if self.tiles_to_encode[item] <= 0:
            del self.tiles_to_encode[item]
            self.start(item)

    def tiles_left_of_step(self, item: BatchItem) -> int:
        """The tiles that the request's step has left."""
        return (self.steps_left[item] - 1) % item.tiles + 1

    def restart(self, item: BatchItem) -> None:
        """The request loses the tiles of a step that is not complete."""
        self.turns_without_step.pop(item)
        self.steps_left[item] += item.tiles - self.tiles_left_of_step(item)

    def check_that_tiles_fill_the_call(self, tiles: Counter[BatchItem]) -> None:
        """No row stays empty that a further tile has use for, and no request gets a second tile
        while another one that fits got none."""
        load = sum(item.load * number for item, number in tiles.items())
        for item in self.policy.running:
            if tiles and item.key == next(iter(tiles)).key and not tiles[item]:
                assert max(tiles.values()) == 1
        for item, number in tiles.items():
            if number < self.tiles_left_of_step(item):
                assert load + item.load > self.policy.row_limit

    @invariant()
    def every_request_waits_or_runs(self) -> None:
        assert len(self.policy.running) + len(self.policy.preparing) <= REQUEST_LIMIT
        assert set(self.policy.preparing) == set(self.tiles_to_encode)
        assert MIN_ROWS <= self.policy.row_limit <= ROW_LIMIT
        known = [*self.policy.waiting, *self.policy.preparing, *self.policy.running]
        assert len(known) == len(set(known))
        assert set(known) == set(self.steps_left)

    @invariant()
    def no_running_request_starves(self) -> None:
        # Each key is due once in a round and may be postponed once. After the limit was lowered,
        # the requests of one key need several calls.
        calls = math.ceil(2 * max(ROW_SIZES) * REQUEST_LIMIT / self.lowest_row_limit)
        assert all(turns <= 2 * KEYS * calls for turns in self.turns_without_step.values())

    def teardown(self) -> None:
        # Each turn takes a step, encodes a tile or admits a request.
        work = sum(self.steps_left.values()) + sum(1 + item.tiles for item in self.steps_left)
        for _ in range(work):
            if self.steps_left:
                self.turn()
        assert not self.steps_left


TestPolicy = PolicyMachine.TestCase
