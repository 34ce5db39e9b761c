"""The switching policy: which of several models is loaded next, and which ones move out for it.

Pure bookkeeping over names, sizes and times that the caller passes in: no device, no clock, no
queue. `inference.pool.pool` executes its decisions.

Loaded models are served first. A model that is not loaded gets its turn as soon as there is room,
or the models that would move out have no requests. Otherwise it has to wait until the loaded models
have been served for a time that is a multiple of its own loading time, so that loading takes at
most a bounded share of the device's time. With N models that do not fit together, a request waits
for at most N - 1 such turns.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

SERVE_PER_LOAD = 4.0
"""A model that takes S seconds to load is loaded after the others were served for at least this
many times S: loading then takes at most a fifth of the time."""

MIN_SERVE_SECONDS = 10.0
"""The least time between two switches while all loaded models have requests; also used as long as
no loading time is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSize:
    """Bytes of the weights, and bytes that a call needs beyond them. Only one model works at a
    time, so that the second number counts once."""

    weights: int
    working: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch:
    """Load `load` after `unload` moved out. Unless `ready`, some of those still have requests in
    their engines: they get no more, and the switch follows when these are finished."""

    load: str
    unload: tuple[str, ...]
    ready: bool


def serve_seconds(load_seconds: float | None) -> float:
    """How long loaded models are served before a model with that loading time replaces one."""
    return max(MIN_SERVE_SECONDS, SERVE_PER_LOAD * (load_seconds or 0.0))


class SwitchPolicy:
    """Keeps the loaded models within `budget` bytes. Times are seconds of any clock.

    A model that alone exceeds the budget is loaded after all others have moved out.
    """

    def __init__(self, *, budget: int) -> None:
        self.budget = budget
        self._sizes: dict[str, ModelSize] = {}
        self._load_seconds: dict[str, float] = {}
        # In the order of loading, with the time of the last use.
        self._loaded: dict[str, float] = {}
        self._switched_at: float | None = None

    @property
    def loaded(self) -> tuple[str, ...]:
        """The models in memory, longest loaded first."""
        return tuple(self._loaded)

    def set_size(self, name: str, size: ModelSize) -> None:
        """A model's size, estimated before it was loaded or measured afterwards."""
        self._sizes[name] = size

    def load_seconds(self, name: str) -> float | None:
        """How long the model took to load the last time; None if it never was."""
        return self._load_seconds.get(name)

    def was_loaded(self, name: str, *, seconds: float, now: float) -> None:
        """The model is in memory; loading it took `seconds`."""
        self._loaded[name] = now
        self._load_seconds[name] = seconds
        self._switched_at = now

    def was_unloaded(self, name: str) -> None:
        """The model is no longer in memory."""
        del self._loaded[name]

    def was_used(self, name: str, now: float) -> None:
        """A request of a loaded model was started."""
        self._loaded[name] = now

    def next_switch(
        self, waiting: Mapping[str, float], running: Collection[str], now: float
    ) -> Switch | None:
        """The switch to make now, or to prepare for; None while the loaded models are served.

        `waiting` maps each model with requests that are not in an engine to the time when the
        oldest of them arrived; `running` are the loaded models whose engines have requests. The
        model with the oldest request is next.
        """
        candidates = [name for name in waiting if name not in self._loaded]
        if not candidates:
            return None
        chosen = min(candidates, key=lambda name: waiting[name])
        unload = self._moving_out(chosen, {*waiting, *running})
        served = self._switched_at is None or (
            now - self._switched_at >= serve_seconds(self._load_seconds.get(chosen))
        )
        if not served and any(name in waiting or name in running for name in unload):
            return None
        return Switch(load=chosen, unload=unload, ready=not any(name in running for name in unload))

    def _moving_out(self, name: str, wanted: Collection[str]) -> tuple[str, ...]:
        """The models to unload: first those without requests, least recently used first, then
        those with requests, longest loaded first."""
        idle = sorted(
            (each for each in self._loaded if each not in wanted), key=self._loaded.__getitem__
        )
        order = [*idle, *(each for each in self._loaded if each in wanted)]
        staying = set(self._loaded)
        chosen = []
        for each in order:
            if self._fits({*staying, name}):
                break
            staying.remove(each)
            chosen.append(each)
        return tuple(chosen)

    def _fits(self, names: Collection[str]) -> bool:
        sizes = [self._size_of(name) for name in names]
        needed = sum(size.weights for size in sizes) + max(size.working for size in sizes)
        return needed <= self.budget

    def _size_of(self, name: str) -> ModelSize:
        """The known size; that of the largest known model for one that was never loaded."""
        known = self._sizes.values()
        largest = ModelSize(weights=max((size.weights for size in known), default=0))
        return self._sizes.get(name, largest)
