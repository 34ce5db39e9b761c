"""The batching policy: which request is prepared next and which batch is stepped next.

Pure bookkeeping over requests, batch keys and row counts: no device, no clock, no model. The loop
executes its decisions and reports back what happened.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from inference.types import Img2ImgRequest

MIN_ROWS = 2
"""No limit falls below one request with guidance."""


@dataclass(frozen=True, slots=True, eq=False)
class BatchItem:
    """A request as the policy sees it: who may share a call with it, and how many rows it needs."""

    request: Img2ImgRequest
    key: Hashable
    rows: int


class BatchPolicy:
    """Round-robin over batch keys, first come first served within the limits.

    `row_limit` bounds the rows of all running requests together, `request_limit` their number.
    Items are waiting from `add` until `next_admission` returns them, and running from `start` until
    `finish`, `requeue` or `remove`.
    """

    def __init__(self, *, row_limit: int, request_limit: int) -> None:
        self.row_limit = row_limit
        self.request_limit = request_limit
        self._waiting: deque[BatchItem] = deque()
        self._running: list[BatchItem] = []
        self._key_order: list[Hashable] = []

    @property
    def waiting(self) -> Sequence[BatchItem]:
        """Items that have not been admitted, first come first."""
        return self._waiting

    @property
    def running(self) -> Sequence[BatchItem]:
        """Items that have been prepared and have steps left, in order of their start."""
        return self._running

    @property
    def key_order(self) -> Sequence[Hashable]:
        """Keys that run or may be admitted; the first one is stepped next."""
        return self._key_order

    def add(self, item: BatchItem) -> None:
        """Append a new item to the queue."""
        self._waiting.append(item)

    def remove(self, request_id: str) -> None:
        """Forget the items of a cancelled request."""
        self._waiting = deque(item for item in self._waiting if item.request.id != request_id)
        self._running = [item for item in self._running if item.request.id != request_id]

    def next_admission(self) -> BatchItem | None:
        """Take the next item to prepare out of the queue; None if there is none.

        It is the first one within the limits whose key is stepped in this turn or the next, so that
        a prepared request takes its first step within two turns.
        """
        admissible = self._admissible()
        self._update_key_order([item.key for item in (*self._running, *admissible)])
        for key in self._key_order[:2]:
            for item in admissible:
                if item.key == key:
                    self._waiting.remove(item)
                    return item
        return None

    def start(self, item: BatchItem) -> None:
        """The item is prepared: step it from now on."""
        self._running.append(item)

    def next_batch(self) -> list[BatchItem]:
        """The items to step now, all with one key; empty if nothing runs."""
        keys = {item.key for item in self._running}
        if not keys:
            return []
        key = next(key for key in self._key_order if key in keys)
        self._key_order.remove(key)
        self._key_order.append(key)
        return [item for item in self._running if item.key == key]

    def finish(self, item: BatchItem) -> None:
        """The item has no step left, or failed."""
        self._running.remove(item)

    def requeue_first(self, items: Sequence[BatchItem]) -> None:
        """Let running items begin again before all that wait."""
        self._running = [item for item in self._running if item not in items]
        self._waiting.extendleft(reversed(items))

    def lower_row_limit(self, rows: int) -> None:
        """Memory ran out: from now on at most `rows`, and never more than before."""
        self.row_limit = max(MIN_ROWS, min(self.row_limit, rows))

    def _admissible(self) -> list[BatchItem]:
        """The items at the front of the queue for which there is room, all together."""
        rows = sum(item.rows for item in self._running)
        admissible: list[BatchItem] = []
        for item in self._waiting:
            rows += item.rows
            count = len(self._running) + len(admissible)
            if count and (rows > self.row_limit or count >= self.request_limit):
                break
            admissible.append(item)
        return admissible

    def _update_key_order(self, present: Sequence[Hashable]) -> None:
        self._key_order = [key for key in self._key_order if key in present] + [
            key for key in dict.fromkeys(present) if key not in self._key_order
        ]
