"""One request that the supervisor has accepted and not answered yet."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from inference.types import ImageRequest, ImageResult, Progress
from inference.worker.messages import Failed, Started


@dataclass(slots=True)
class PendingRequest:
    """`future` has the outcome; `started` says that the worker has begun to work on the request."""

    request: ImageRequest
    on_progress: Callable[[Progress], None] | None
    future: asyncio.Future[ImageResult]
    started: bool = False

    def handle(self, message: Started | Progress | ImageResult | Failed) -> None:
        """Apply one of the worker's messages about this request."""
        if self.future.done():
            return
        match message:
            case Started():
                self.started = True
            case Progress():
                if self.on_progress is not None:
                    try:
                        self.on_progress(message)
                    except Exception as error:  # noqa: BLE001 - raised to the caller, whose it is
                        self.resolve(error)
            case ImageResult():
                self.resolve(message)
            case Failed(error=error):
                self.resolve(error)

    def resolve(self, outcome: ImageResult | Exception) -> None:
        """Set the outcome, unless there is one already."""
        if self.future.done():
            return
        if isinstance(outcome, Exception):
            self.future.set_exception(outcome)
        else:
            self.future.set_result(outcome)
