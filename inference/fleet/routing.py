"""Which replica a request goes to. Pure bookkeeping: no Ray, no clock.

A denoiser call contains requests of one model and one size only, and loading a model takes seconds.
So a request prefers a replica that has its model in memory, then one that runs its size, so that
calls stay full, then one that knows its source picture, so that encodings are not computed twice.
No preference may leave another replica idle.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field

from inference.service import ModelState, ModelStatus
from inference.tile_grid import call_size
from inference.types import ImageRequest

MAX_IMBALANCE = 0.1
"""Share of its slots by which a replica's load may exceed the lowest load, so that a preference
still counts; one request at least. A higher share fills the calls more and makes users wait longer
(docs/fleet.md has the figures)."""

LOADING_COST = 1.0
"""Loading the request's model counts as much as the requests that fill a replica: a replica that
lacks the model gets requests for it when those that have it are full."""

REMEMBERED_SOURCES = 64
"""How many source pictures a replica is taken to know; its encoder cache is larger."""


@dataclass(frozen=True, slots=True)
class RoutedRequest:
    """What routing needs to know of a request."""

    model: str
    size: tuple[int, int]
    source: int

    @classmethod
    def of(cls, request: ImageRequest) -> RoutedRequest:
        """`size` is that of a tile, for a request in tiles. `source` is a hash of the pixels, valid
        within this process."""
        return cls(request.model, call_size(request), hash(request.pixels))


Models = Mapping[str, ModelStatus]
"""The models of one replica by their names, as it has reported them."""


@dataclass(slots=True)
class _Replica:
    """`running` is counted by model in `of_model`, and by model and size in `of_call`.

    `models` is what the replica has reported, at intervals; `used` are the models whose requests
    ended since then. `known_slots` are the slots of each model that it is known to have had in
    memory.
    """

    models: Models = field(default_factory=dict)
    known_slots: dict[str, int] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    running: dict[str, RoutedRequest] = field(default_factory=dict)
    of_model: Counter[str] = field(default_factory=Counter)
    of_call: Counter[tuple[str, tuple[int, int]]] = field(default_factory=Counter)
    sources: OrderedDict[int, None] = field(default_factory=OrderedDict)

    def report(self, models: Models) -> None:
        if models is not self.models and models != self.models:
            self.used.clear()
        self.models = models
        self.known_slots |= {
            name: each.slots
            for name, each in models.items()
            if each.loads or each.state is ModelState.LOADED
        }

    def add(self, request_id: str, request: RoutedRequest) -> None:
        self.running[request_id] = request
        self.of_model[request.model] += 1
        self.of_call[request.model, request.size] += 1
        self.sources[request.source] = None
        self.sources.move_to_end(request.source)
        if len(self.sources) > REMEMBERED_SOURCES:
            self.sources.popitem(last=False)

    def remove(self, request_id: str) -> RoutedRequest:
        request = self.running.pop(request_id)
        self.of_model[request.model] -= 1
        self.of_call[request.model, request.size] -= 1
        return request

    def has_model(self, name: str) -> bool:
        """Whether the model is in memory, or will be for an earlier request."""
        loaded = self.models[name].state in (ModelState.LOADED, ModelState.LOADING)
        return loaded or name in self.used or self.of_model[name] > 0

    def slots(self, name: str) -> int:
        """How many requests of a model run at once; of one that was not loaded yet, as many as of
        the others. A worker that starts again reports one slot, until its model is loaded."""
        if known := self.known_slots.get(name):
            return known
        return max(self.known_slots.values(), default=1)

    def load(self) -> float:
        """The share of its batches that the requests fill; 1 is full."""
        return sum(number / self.slots(name) for name, number in self.of_model.items())


class FleetLoad:
    """The requests that each replica runs, as far as this router has sent them."""

    def __init__(self) -> None:
        self._replicas: dict[str, _Replica] = {}
        self._replica_of: dict[str, str] = {}

    def rank(self, request: RoutedRequest, available: Mapping[str, Models]) -> list[str]:
        """The replicas, best first. `available` holds the models of each that may be chosen.

        One that could not load the request's model comes last.
        """
        replicas = {name: self._replica(name) for name in available}
        for name, models in available.items():
            replicas[name].report(models)
        present = {name: each.has_model(request.model) for name, each in replicas.items()}
        costs = {
            name: each.load() + (0.0 if present[name] else LOADING_COST)
            for name, each in replicas.items()
        }
        lowest = min(costs.values(), default=0.0)

        def order(name: str) -> tuple[bool, bool, int, bool, float, bool]:
            replica = replicas[name]
            imbalance = max(MAX_IMBALANCE, 1 / replica.slots(request.model))
            preferred = costs[name] < 1.0 and costs[name] <= lowest + imbalance
            return (
                replica.models[request.model].state is ModelState.FAILED,
                not preferred,
                -replica.of_call[request.model, request.size] if preferred else 0,
                preferred and request.source not in replica.sources,
                costs[name],
                not present[name],
            )

        return sorted(available, key=order)

    def start(self, name: str, request_id: str, request: RoutedRequest) -> None:
        """The request goes to this replica, instead of any that was named for it before."""
        self._remove(request_id)
        self._replica_of[request_id] = name
        self._replica(name).add(request_id, request)

    def finish(self, request_id: str) -> None:
        """The request ended, however it ended."""
        if removed := self._remove(request_id):
            replica, request = removed
            replica.used.add(request.model)

    def running(self, name: str) -> int:
        """How many requests the replica runs."""
        return len(self._replica(name).running)

    def keep(self, names: set[str]) -> None:
        """Forget the replicas that no longer exist."""
        self._replicas = {name: r for name, r in self._replicas.items() if name in names}

    def _remove(self, request_id: str) -> tuple[_Replica, RoutedRequest] | None:
        """None if the request, or its replica, is not known any more."""
        replica = self._replicas.get(self._replica_of.pop(request_id, ""))
        # A replica that was forgotten, and came back, has lost its requests.
        if replica is None or request_id not in replica.running:
            return None
        return replica, replica.remove(request_id)

    def _replica(self, name: str) -> _Replica:
        return self._replicas.setdefault(name, _Replica())
