"""`InferenceService`: the protocol for everything that runs requests, local or remote."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import Protocol, Self

from inference.types import ImageRequest, ImageResult, Progress


class ServiceState(StrEnum):
    """The phases of a service's life."""

    LOADING = "loading"
    READY = "ready"
    RESTARTING = "restarting"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadProgress:
    """The progress of a model's download. `seconds_left` is None until it can be estimated."""

    files: int
    total_files: int
    bytes: int
    total_bytes: int
    seconds_left: float | None = None

    @property
    def percent(self) -> int:
        """The share of the bytes that has arrived."""
        return 100 * self.bytes // max(1, self.total_bytes)

    def __str__(self) -> str:
        """E.g. "4 of 13 files, 1.2 of 2.8 GB (43 %), 5 min left"."""
        text = (
            f"{self.files} of {self.total_files} files, {self.bytes / 1e9:.1f} of "
            f"{self.total_bytes / 1e9:.1f} GB ({self.percent} %)"
        )
        if self.seconds_left is None:
            return text
        if self.seconds_left < 60:
            return f"{text}, {self.seconds_left:.0f} s left"
        return f"{text}, {self.seconds_left / 60:.0f} min left"


class ModelState(StrEnum):
    """Where one of several models is. `UNLOADED`: it is loaded when a request needs it.
    `DOWNLOADING`: its files are downloaded while other models run. `FAILED`: its last loading
    failed; its requests fail, and after some minutes the next one tries again."""

    LOADED = "loaded"
    LOADING = "loading"
    DOWNLOADING = "downloading"
    UNLOADED = "unloaded"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelStatus:
    """One of the models that a service runs.

    `slots` is the number of its requests that the service runs at once, 1 until it is known. In a
    service with several replicas the model counts as loaded if one of them has it in memory.
    `load_seconds` is how long its last loading took, None before the first one. `serve_seconds` is
    how long other models may be served before this one is loaded, when all have requests.
    `loads` counts how often it was loaded. `failure` is the sentence of a failed loading.
    `download` is the progress of its download, of one repository after the other.
    """

    name: str
    state: ModelState
    slots: int = 1
    load_seconds: float | None = None
    serve_seconds: float = 0.0
    loads: int = 0
    failure: str = ""
    download: DownloadProgress | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaSnapshot:
    """One replica of a service with several: its engine counts for itself.

    `name` is the machine's name and the process id of the replica. `models` are those in memory.
    `running` is the number of its requests. `step_seconds` is the mean duration of a step in its
    newest results, 0 before the first one. `restarts` counts its workers after the first one,
    `resident_bytes` is the worker's memory, 0 without a worker.
    """

    name: str
    state: ServiceState
    device: str = ""
    models: tuple[str, ...] = ()
    slots: int = 1
    running: int = 0
    step_seconds: float = 0.0
    restarts: int = 0
    denoiser_calls: int = 0
    denoiser_rows: int = 0
    resident_bytes: int = 0

    @property
    def rows_per_call(self) -> float:
        """The mean number of rows in a call of the denoiser; 0 without a call."""
        return self.denoiser_rows / self.denoiser_calls if self.denoiser_calls else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceStatus:
    """A snapshot of a service.

    `detail` describes the state in a few words, e.g. "loading the model"; during a download it
    includes `download`. `slots` is the number of requests that the service runs at once, 1 until it
    is known; with several models it is that of the default model. `models` has one element for each
    of several models, and none for a service with one model. `restarts` counts the workers after
    the first one; `denoiser_calls` and `denoiser_rows` count the denoiser's calls, and the rows in
    them, of all workers. `replicas` has one element for each replica, and none for a service with
    one local worker.
    """

    state: ServiceState
    detail: str
    download: DownloadProgress | None = None
    slots: int = 1
    device: str = ""
    dtype: str = ""
    worker_pid: int | None = None
    restarts: int = 0
    denoiser_calls: int = 0
    denoiser_rows: int = 0
    models: tuple[ModelStatus, ...] = ()
    replicas: tuple[ReplicaSnapshot, ...] = ()

    def model(self, name: str) -> ModelStatus:
        """The status of a model by its name; an empty name is the default model."""
        for status in self.models:
            if name in ("", status.name):
                return status
        state = ModelState.LOADED if self.state is ServiceState.READY else ModelState.LOADING
        return ModelStatus(name=name, state=state, slots=self.slots)


class InferenceService(Protocol):
    """A service that runs requests: one local worker, or several replicas.

    It is an async context manager. Entering it returns at once and starts the model; leaving it
    ends the requests that still run with `ServiceStopped` and stops the model.
    """

    @property
    def status(self) -> ServiceStatus:
        """The current state; never blocks."""
        ...

    async def __aenter__(self) -> Self:
        """Start the model."""
        ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop the model."""
        ...

    async def wait_ready(self) -> None:
        """Return when requests are served.

        Raises:
            ModelUnavailable: the service has failed.
        """
        ...

    async def wait_failed(self) -> None:
        """Wait until the service has failed, then raise the reason.

        Raises:
            ModelUnavailable: always.
        """
        ...

    async def generate(
        self,
        request: ImageRequest,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> ImageResult:
        """Run one request. Cancelling the awaiting task cancels the request.

        `on_progress` is called on the event loop's thread after each step, and never after this
        method has returned. While the model is loading the request waits.

        Raises:
            InferenceError: one of the subclasses in `inference.errors`.
        """
        ...

    def report_demand(self, oldest_wait: float) -> None:
        """Report how long the oldest request that waits for a slot has waited, in seconds.

        A fleet adjusts the number of its replicas to it; a single worker ignores it.
        """
        ...
