"""One of several models: its engine while it is loaded, and its requests."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from inference.model_entry import ModelEntry
from inference.pool.switching import serve_seconds
from inference.service import ModelState, ModelStatus
from inference.types import ImageRequest
from inference.worker.messages import Cancel, ModelEngine, Statistics


@dataclass(slots=True)
class PooledModel:
    """A configured model: its engine while it is loaded, and its requests.

    `waiting` holds requests that are not in the engine, each with its time of arrival.
    """

    entry: ModelEntry
    engine: ModelEngine | None = None
    waiting: deque[tuple[float, ImageRequest]] = field(default_factory=deque)
    in_engine: set[str] = field(default_factory=set)
    statistics: Statistics = field(default_factory=Statistics)
    # While it is being loaded: the time of the start, after a download.
    loading_since: float | None = None
    slots: int = 1
    loads: int = 0
    failure: str = ""
    retry_at: float = 0.0

    def cancel(self, request_id: str) -> None:
        """End the request if it waits or runs."""
        self.waiting = deque(each for each in self.waiting if each[1].id != request_id)
        if request_id in self.in_engine:
            self.in_engine.remove(request_id)
            # Sent again: the first one may have come before the request.
            if self.engine is not None:
                self.engine.post(Cancel(request_id))

    def status(self, load_seconds: float | None) -> ModelStatus:
        """The model as the service reports it; `load_seconds` is how long it took to load."""
        state = ModelState.UNLOADED
        if self.loading_since is not None:
            state = ModelState.LOADING
        elif self.engine is not None:
            state = ModelState.LOADED
        elif self.failure:
            state = ModelState.FAILED
        return ModelStatus(
            name=self.entry.name,
            state=state,
            slots=self.slots,
            load_seconds=load_seconds,
            serve_seconds=serve_seconds(load_seconds),
            loads=self.loads,
            failure=self.failure,
        )
