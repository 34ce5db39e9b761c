"""One of several models: its engine while it is loaded, and its requests."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from inference.engine.failures import failure_of
from inference.errors import ModelNotLoaded, ModelUnavailable
from inference.model_entry import ModelEntry
from inference.pool.switching import serve_seconds
from inference.service import DownloadProgress, ModelState, ModelStatus
from inference.types import ImageRequest
from inference.worker.excluded import RETRY_SECONDS
from inference.worker.messages import Cancel, Failed, ModelEngine, Statistics

log = logging.getLogger(__name__)


@dataclass(slots=True)
class PooledModel:
    """A configured model: its engine while it is loaded, and its requests.

    Each request is kept with its time of arrival. `waiting` are those that are not in the engine,
    `in_engine` the others, by id; `retried` are those that the engine has given up once.
    """

    entry: ModelEntry
    engine: ModelEngine | None = None
    waiting: deque[tuple[float, ImageRequest]] = field(default_factory=deque)
    in_engine: dict[str, tuple[float, ImageRequest]] = field(default_factory=dict)
    retried: set[str] = field(default_factory=set)
    statistics: Statistics = field(default_factory=Statistics)
    # While it is being loaded: the time of the start, after a download.
    loading_since: float | None = None
    # While its files are downloaded, or wait for the download of another model.
    downloading: bool = False
    download: DownloadProgress | None = None
    slots: int = 1
    loads: int = 0
    failure: str = ""
    retry_at: float = 0.0

    @property
    def is_busy(self) -> bool:
        """Whether its engine has requests."""
        return self.engine is not None and not self.engine.idle

    @property
    def is_idle(self) -> bool:
        """Whether it is loaded and has no requests."""
        return self.engine is not None and self.engine.idle and not self.waiting

    def unload(self) -> Statistics:
        """Close and drop the engine; its last statistics."""
        assert self.engine is not None
        self.engine.close()
        self.engine = None
        self.in_engine.clear()
        ended, self.statistics = self.statistics, Statistics()
        return ended

    def cancel(self, request_id: str) -> None:
        """End the request if it waits or runs."""
        self.waiting = deque(each for each in self.waiting if each[1].id != request_id)
        # Sent again: the first one may have come before the request.
        if request_id in self.in_engine and self.engine is not None:
            self.engine.post(Cancel(request_id))
        self.request_ended(request_id)

    def request_ended(self, request_id: str) -> None:
        """The request has left the engine for good."""
        self.in_engine.pop(request_id, None)
        self.retried.discard(request_id)

    def retry(self, request_id: str) -> bool:
        """Put a request that has left the engine first among those that wait. Returns False if that
        was done before, or if the request was cancelled."""
        if request_id in self.retried or request_id not in self.in_engine:
            return False
        self.retried.add(request_id)
        self.waiting.appendleft(self.in_engine.pop(request_id))
        return True

    def set_failed(self, error: Exception, now: float) -> None:
        """It could not be loaded or downloaded. It is tried again after `RETRY_SECONDS`."""
        sentence = str(error) if isinstance(error, ModelUnavailable) else "an unexpected error."
        log.error("%s cannot be loaded: %s", self.entry.name, sentence)
        self.failure, self.retry_at = sentence, now + RETRY_SECONDS

    def fail_waiting(self, report: Callable[[Failed], None]) -> None:
        """Report that the requests that wait for it have failed; none waits afterwards."""
        error = ModelNotLoaded(f"{self.entry.name} cannot be loaded: {self.failure}")
        while self.waiting:
            _, each = self.waiting.popleft()
            report(Failed(each.id, failure_of(each, error)))

    def status(self, load_seconds: float | None) -> ModelStatus:
        """The model as the service reports it; `load_seconds` is how long it took to load."""
        state = ModelState.UNLOADED
        if self.loading_since is not None:
            state = ModelState.LOADING
        elif self.downloading:
            state = ModelState.DOWNLOADING
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
            download=self.download,
        )
