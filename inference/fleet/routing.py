"""Which replica a request goes to. Pure bookkeeping: no Ray, no clock.

A denoiser call contains requests of one size only. So that calls stay full, a request prefers a
replica that runs its size, and so that encodings are not computed twice, one that knows its source
picture. Neither may leave another replica idle.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field

from inference.types import ImageRequest

MAX_IMBALANCE = 0.1
"""Share of its slots by which a replica's load may exceed the lowest load, so that a preference
still counts; one request at least. A higher share fills the calls more and makes users wait longer
(docs/fleet.md has the figures)."""

REMEMBERED_SOURCES = 64
"""How many source pictures a replica is taken to know; its encoder cache is larger."""


@dataclass(frozen=True, slots=True)
class RoutedRequest:
    """What routing needs to know of a request."""

    size: tuple[int, int]
    source: int

    @classmethod
    def of(cls, request: ImageRequest) -> RoutedRequest:
        """`source` is a hash of the pixels, valid within this process."""
        return cls((request.width, request.height), hash(request.pixels))


@dataclass(slots=True)
class _Replica:
    running: dict[str, RoutedRequest] = field(default_factory=dict)
    sources: OrderedDict[int, None] = field(default_factory=OrderedDict)

    def runs(self, size: tuple[int, int]) -> int:
        return sum(request.size == size for request in self.running.values())


class FleetLoad:
    """The requests that each replica runs, as far as this router has sent them."""

    def __init__(self) -> None:
        self._replicas: dict[str, _Replica] = {}
        self._replica_of: dict[str, str] = {}

    def rank(self, request: RoutedRequest, slots: Mapping[str, int]) -> list[str]:
        """The replicas, best first. `slots` holds the batch slots of those that are available."""
        loads = {name: self._load(name, number) for name, number in slots.items()}
        lowest = min(loads.values(), default=0.0)

        def cost(name: str) -> tuple[bool, bool, int, bool, float]:
            replica = self._replicas.get(name, _EMPTY)
            imbalance = max(MAX_IMBALANCE, 1 / max(1, slots[name]))
            preferred = loads[name] < 1.0 and loads[name] <= lowest + imbalance
            return (
                loads[name] >= 1.0,
                not preferred,
                -replica.runs(request.size) if preferred else 0,
                request.source not in replica.sources,
                loads[name],
            )

        return sorted(slots, key=cost)

    def start(self, name: str, request_id: str, request: RoutedRequest) -> None:
        """The request goes to this replica, instead of any that was named for it before."""
        self.finish(request_id)
        self._replica_of[request_id] = name
        replica = self._replicas.setdefault(name, _Replica())
        replica.running[request_id] = request
        replica.sources[request.source] = None
        replica.sources.move_to_end(request.source)
        if len(replica.sources) > REMEMBERED_SOURCES:
            replica.sources.popitem(last=False)

    def finish(self, request_id: str) -> None:
        """The request ended, however it ended."""
        name = self._replica_of.pop(request_id, "")
        if replica := self._replicas.get(name):
            replica.running.pop(request_id, None)

    def running(self, name: str) -> int:
        """How many requests the replica runs."""
        return len(self._replicas.get(name, _EMPTY).running)

    def keep(self, names: set[str]) -> None:
        """Forget the replicas that no longer exist."""
        self._replicas = {name: r for name, r in self._replicas.items() if name in names}

    def _load(self, name: str, slots: int) -> float:
        return self.running(name) / max(1, slots)


_EMPTY = _Replica()
