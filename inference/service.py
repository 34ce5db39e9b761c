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

    def __str__(self) -> str:
        """E.g. "4 of 13 files, 1.2 of 2.8 GB (43 %), 5 min left"."""
        percent = 100 * self.bytes // max(1, self.total_bytes)
        text = (
            f"{self.files} of {self.total_files} files, {self.bytes / 1e9:.1f} of "
            f"{self.total_bytes / 1e9:.1f} GB ({percent} %)"
        )
        if self.seconds_left is None:
            return text
        if self.seconds_left < 60:
            return f"{text}, {self.seconds_left:.0f} s left"
        return f"{text}, {self.seconds_left / 60:.0f} min left"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceStatus:
    """A snapshot of a service.

    `detail` describes the state in a few words, e.g. "loading the model"; during a download it
    includes `download`. `slots` is the number of requests that the service runs at once, 1 until it
    is known. `restarts` counts the workers after the first one; `denoiser_calls` and
    `denoiser_rows` count the denoiser's calls, and the rows in them, of all workers.
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
