"""The service that the bot sees: a protocol. `inference.worker.supervisor` has its local form."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from inference.types import Img2ImgRequest, Img2ImgResult, Progress


class ServiceState(StrEnum):
    """Where the service is in its life."""

    LOADING = "loading"
    READY = "ready"
    RESTARTING = "restarting"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceStatus:
    """A snapshot: `detail` is one sentence for a person; `slots` is how many requests at once
    fill the device's batch (1 until it is known)."""

    state: ServiceState
    detail: str
    slots: int = 1
    device: str = ""
    dtype: str = ""


class InferenceService(Protocol):
    """Anything that redraws pictures: one local worker, or a fleet behind the same face."""

    @property
    def status(self) -> ServiceStatus:
        """The state now; cheap, never blocks."""
        ...

    async def generate(
        self,
        request: Img2ImgRequest,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> Img2ImgResult:
        """Run one request to its end. Cancelling the awaiting task cancels the request.

        `on_progress` is called on the event loop's thread, once a step, never after the return.
        May be called while the model is loading: the request then waits.

        Raises:
            InferenceError: one of its subclasses, as `inference.errors` describes.
        """
        ...
