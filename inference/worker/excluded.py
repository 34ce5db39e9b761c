"""Models whose loading ended a worker process: the next workers do not load them for a while."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

RETRY_SECONDS = 300.0
"""A model whose loading failed is tried again for the first request after this time."""


@dataclass(frozen=True, slots=True)
class ExcludedModel:
    """A model that a worker must not load for the next `retry_seconds`; `failure` says why."""

    name: str
    failure: str
    retry_seconds: float


class ExcludedModels:
    """Keeps the excluded models beyond the life of a worker. `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: dict[str, tuple[str, float]] = {}

    def add(self, name: str, failure: str) -> None:
        """Exclude a model from now on for `RETRY_SECONDS`."""
        self._failures[name] = failure, self._clock() + RETRY_SECONDS

    def current(self) -> tuple[ExcludedModel, ...]:
        """The models that are excluded now."""
        now = self._clock()
        return tuple(
            ExcludedModel(name, failure, retry_at - now)
            for name, (failure, retry_at) in self._failures.items()
            if retry_at > now
        )
