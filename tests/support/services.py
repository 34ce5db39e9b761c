"""Fake inference services. They replace the real one where a test needs no model."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from inference import (
    ImageRequest,
    ImageResult,
    InferenceError,
    ModelUnavailable,
    Progress,
    ServiceState,
    ServiceStatus,
    Timings,
)

READY = ServiceStatus(state=ServiceState.READY, detail="ready", slots=4, device="test")
POLL_SECONDS = 0.005


class FakeLifecycle:
    """The methods of `InferenceService` besides `generate`: they follow the `status` that the test
    sets."""

    status: ServiceStatus = READY
    oldest_wait: float | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        pass

    async def wait_ready(self) -> None:
        while self.status.state is not ServiceState.READY:
            if self.status.state is ServiceState.FAILED:
                raise ModelUnavailable(self.status.detail)
            await asyncio.sleep(POLL_SECONDS)

    async def wait_failed(self) -> None:
        while self.status.state is not ServiceState.FAILED:  # noqa: ASYNC110 - tests assign it
            await asyncio.sleep(POLL_SECONDS)
        raise ModelUnavailable(self.status.detail)

    def report_demand(self, oldest_wait: float) -> None:
        self.oldest_wait = oldest_wait


@dataclass
class ScriptedService(FakeLifecycle):
    """Returns each request's image inverted, unless the script says otherwise; black for a request
    without one. There is a depth map if the request has only one image.

    `errors` are raised, in order, by the next requests. While `gate` is cleared, requests take
    their steps but do not end. Each result took `device_seconds` of the device.
    """

    status: ServiceStatus = READY
    errors: list[InferenceError] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    requests: list[ImageRequest] = field(default_factory=list)
    steps: int = 3
    step_seconds: float = 0.0
    reported_seconds: float = 0.3
    device_seconds: float = 0.5

    def __post_init__(self) -> None:
        self.gate.set()

    async def generate(
        self, request: ImageRequest, on_progress: Callable[[Progress], None] | None = None
    ) -> ImageResult:
        self.requests.append(request)
        if self.errors:
            raise self.errors.pop(0)
        steps = self.steps if request.steps else 0
        for step in range(1, steps + 1):
            if on_progress is not None:
                on_progress(Progress(id=request.id, step=step, total=self.steps))
            await asyncio.sleep(self.step_seconds)
        await self.gate.wait()
        has_depth = request.return_depth and request.pixels and not request.references
        depth = request.pixels[::3] if has_depth else None
        return ImageResult(
            id=request.id,
            pixels=bytes(255 - value for value in request.pixels)
            if steps and request.pixels
            else request.pixels or bytes(3 * request.width * request.height),
            width=request.width,
            height=request.height,
            steps_run=steps,
            timings=Timings(
                prepare=0.1,
                steps=self.reported_seconds,
                decode=0.1,
                device=self.device_seconds,
            ),
            depth=depth,
            mask=request.mask or request.pixels[::3] if request.return_mask else None,
        )
