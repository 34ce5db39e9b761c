"""The batching policy: which requests are prepared next and which batch is stepped next.

Pure bookkeeping over requests, batch keys and row counts: no device, no clock, no model. The loop
executes its decisions and reports back what happened.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from inference.types import ImageRequest

MIN_ROWS = 1
"""No limit falls below one row. A request or tile with guidance runs alone also at that limit."""

ROWS_REGAINED = 2
"""The rows of one request with guidance."""

ROWS_PER_ADMISSION = 8
"""A turn prepares at most one request for each so many rows of its call, so that preparation stays
a bounded share of the turn: at 512 × 512 the encoders cost 1.4 TFLOP a request and the UNet
0.8 TFLOP a row."""

CLEAN_STEPS = 100
"""After so many steps without an out-of-memory error, a lowered row limit rises by
`ROWS_REGAINED`; the number doubles with every error, up to `MAX_CLEAN_STEPS`."""

MAX_CLEAN_STEPS = 1600


@dataclass(frozen=True, slots=True, eq=False)
class BatchItem:
    """A request as the policy sees it: its batch key and the rows that it needs in a call.

    `row_size` is the memory that a row needs, where that of the rows that the limit counts is 1.
    A request that is redrawn in `tiles` needs so many rows for each tile. Its tiles may be spread
    over several calls; its step ends with the last one.
    """

    request: ImageRequest
    key: Hashable
    rows: int
    row_size: float = 1.0
    tiles: int = 1

    @property
    def load(self) -> float:
        """What the request, or each of its tiles, takes of the row limit."""
        return self.rows * self.row_size


class BatchPolicy:
    """Round-robin over batch keys, first come first served within a key.

    `row_limit` bounds the rows of one call, by their sizes, `request_limit` the number of requests
    that are prepared or run, and `admission_limit` the requests prepared in one turn, and the tiles
    encoded or decoded in one turn. A request is admitted only if it fits the next call of its key
    together with those that run, so that every running request takes a step, or predicts a tile of
    its step, each time its key is due. A request in tiles fits if one tile does; the rows that are
    left in a call are filled with further tiles.

    An item is waiting from `add` until `admit` returns it, then in preparation until `start`, for
    several turns if it has tiles, and then running. `finish`, `requeue_first`, `requeue_alone` and
    `remove` end its preparation or run.
    """

    def __init__(self, *, row_limit: int, request_limit: int, admission_limit: int = 1) -> None:
        self.row_limit: float = row_limit
        self.request_limit = request_limit
        self.admission_limit = admission_limit
        self._max_row_limit = row_limit
        self._clean_steps = 0
        self._clean_steps_needed = CLEAN_STEPS
        self._waiting: deque[BatchItem] = deque()
        self._preparing: list[BatchItem] = []
        self._running: list[BatchItem] = []
        # Of each running request: the tiles that its step has left.
        self._tiles_left: dict[BatchItem, int] = {}
        self._key_order: list[Hashable] = []
        self._alone: deque[BatchItem] = deque()
        # Whether the item in preparation must be alone.
        self._prepares_alone = False
        self._postponed: set[Hashable] = set()
        self._unstepped: set[BatchItem] = set()

    @property
    def waiting(self) -> Sequence[BatchItem]:
        """Items that have not been admitted, first come first."""
        return [*self._alone, *self._waiting]

    @property
    def running(self) -> Sequence[BatchItem]:
        """Items that have been prepared and have steps left."""
        return self._running

    @property
    def preparing(self) -> Sequence[BatchItem]:
        """Items that have been admitted and not started yet, first come first."""
        return self._preparing

    @property
    def turn_limit(self) -> int:
        """How many requests this turn may prepare, and how many tiles it may encode, before its
        call."""
        if not self._running:
            return self.limit_beside(0)
        # Of the first key all requests may still wait, while another key has a call.
        return self.limit_beside(max(1, self._rows_of(self._key_order[0])))

    def limit_beside(self, rows: int) -> int:
        """How many requests a turn may prepare, or tiles encode or decode, beside a call of so many
        rows; 0 rows are no call."""
        if not rows:
            return self.admission_limit
        return min(self.admission_limit, max(1, rows // ROWS_PER_ADMISSION))

    @property
    def key_order(self) -> Sequence[Hashable]:
        """Keys that run or may be admitted; the first one is due."""
        return self._key_order

    def add(self, item: BatchItem) -> None:
        """Append a new item to the queue."""
        self._waiting.append(item)

    def remove(self, request_id: str) -> None:
        """Forget the items of a cancelled request."""
        self._waiting = deque(item for item in self._waiting if item.request.id != request_id)
        self._alone = deque(item for item in self._alone if item.request.id != request_id)
        for item in (*self._preparing, *self._running):
            if item.request.id == request_id:
                self.finish(item)

    def admit(self) -> list[BatchItem]:
        """Take the items to prepare from this turn on out of the queue.

        They are the first ones within the limits whose key is due in this turn or the next, so
        that a prepared request takes its first step within two turns.
        """
        if self._preparing and self._prepares_alone:
            return []
        self._prepares_alone = False
        if self._alone:
            if self._running or self._preparing:
                return []
            self._prepares_alone = True
            self._preparing.append(self._alone.popleft())
            return self._preparing[:]
        admissible = self._admissible()
        self._update_key_order([item.key for item in (*self._running, *admissible)])
        due = [item for key in self._key_order[:2] for item in admissible if item.key == key]
        chosen = due[: self.turn_limit]
        for item in chosen:
            self._waiting.remove(item)
        self._preparing += chosen
        return chosen

    def start(self, item: BatchItem) -> None:
        """The item is prepared: step it from now on."""
        self._preparing.remove(item)
        self._running.append(item)
        if item.key not in self._key_order:
            self._key_order.append(item.key)
        self._tiles_left[item] = item.tiles
        self._unstepped.add(item)

    def next_batch(self) -> list[BatchItem]:
        """The items to step now, all with one key; empty if nothing runs.

        An item stands in it once for each tile that it predicts. No item gets a second tile before
        each has got one. If a limit was lowered and the items of the key no longer fit one call,
        those that were stepped least recently come first.
        """
        key = self._next_key()
        batch: list[BatchItem] = []
        load = 0.0
        tiles_left = {item: self._tiles_left[item] for item in self._running if item.key == key}
        while tiles_left:
            for item in list(tiles_left):
                tiles_left[item] -= 1
                if batch and load + item.load > self.row_limit:
                    del tiles_left[item]
                    continue
                batch.append(item)
                load += item.load
                if not tiles_left[item]:
                    del tiles_left[item]
        stepped = dict.fromkeys(batch)
        self._running = [item for item in self._running if item not in stepped] + list(stepped)
        self._unstepped.intersection_update(self._running)
        self._unstepped.difference_update(batch)
        return batch

    def tiles_predicted(self, item: BatchItem, number: int) -> None:
        """A running item has predicted so many of the tiles that its step had left."""
        left = self._tiles_left[item] - number
        self._tiles_left[item] = left or item.tiles

    def finish(self, item: BatchItem) -> None:
        """The item has no step left, or failed."""
        if item in self._preparing:
            self._preparing.remove(item)
        else:
            self._running.remove(item)
            del self._tiles_left[item]

    def requeue_first(self, item: BatchItem) -> None:
        """Let an item begin again before all that wait."""
        self.finish(item)
        self._waiting.appendleft(item)

    def requeue_alone(self, item: BatchItem) -> None:
        """Memory ran out for this item by itself: admit it once nothing else runs."""
        self.finish(item)
        self._alone.append(item)

    def step_succeeded(self) -> None:
        """A call ended without an error: a lowered row limit rises slowly."""
        if self.row_limit == self._max_row_limit:
            return
        self._clean_steps += 1
        if self._clean_steps >= self._clean_steps_needed:
            self._clean_steps = 0
            self.row_limit = min(self._max_row_limit, self.row_limit + ROWS_REGAINED)

    def lower_row_limit(self, rows: float) -> None:
        """A call with more than `rows` rows ran out of memory: use at most `rows` from now on."""
        self.row_limit = max(MIN_ROWS, min(self.row_limit, rows))
        self._clean_steps = 0
        self._clean_steps_needed = min(2 * self._clean_steps_needed, MAX_CLEAN_STEPS)

    def _next_key(self) -> Hashable | None:
        keys = {item.key for item in self._running}
        order = [key for key in self._key_order if key in keys]
        if not order:
            return None
        while self._may_postpone(order[0]):
            self._postponed.add(order[0])
            self._move_last(order[0])
            order.append(order.pop(0))
        key = order[0]
        self._postponed.discard(key)
        self._move_last(key)
        return key

    def _move_last(self, key: Hashable) -> None:
        self._key_order.remove(key)
        self._key_order.append(key)

    def _may_postpone(self, key: Hashable) -> bool:
        """Whether a key that is due is passed over once, so that its next call has more rows.

        Only if its call would be at most half full while another key has twice as many rows, and
        never before a request's first step. A request's deadline ends with its preparation, which
        is not delayed.
        """
        if key in self._postponed:
            return False
        rows: dict[Hashable, float] = {}
        for item in self._running:
            if item.key == key and item in self._unstepped:
                return False
            rows[item.key] = rows.get(item.key, 0) + item.load * self._tiles_left[item]
        return rows[key] <= self.row_limit / 2 and max(rows.values()) >= 2 * rows[key]

    def _rows_of(self, key: Hashable) -> int:
        """The rows of the key's next call."""
        rows = sum(item.rows * self._tiles_left[item] for item in self._running if item.key == key)
        return min(rows, int(self.row_limit))

    def _admissible(self) -> list[BatchItem]:
        """The waiting items for which there is room, first come first."""
        room: dict[Hashable, float] = {}
        begun = (*self._running, *self._preparing)
        for item in begun:
            room[item.key] = room.get(item.key, self.row_limit) - item.load
        admissible: list[BatchItem] = []
        for item in self._waiting:
            if len(begun) + len(admissible) >= self.request_limit:
                break
            left = room.get(item.key, self.row_limit)
            # An item that does not fit makes those behind it with the same key wait, too.
            room[item.key] = left - item.load
            if left >= item.load or left == self.row_limit:
                admissible.append(item)
        return admissible

    def _update_key_order(self, present: Sequence[Hashable]) -> None:
        self._postponed.intersection_update(present)
        self._key_order = [key for key in self._key_order if key in present] + [
            key for key in dict.fromkeys(present) if key not in self._key_order
        ]
