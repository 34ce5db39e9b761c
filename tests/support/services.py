"""Engines that tests script: a fake stands only where the engine begins."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from inference import (
    Img2ImgRequest,
    Img2ImgResult,
    InferenceError,
    Progress,
    ServiceState,
    ServiceStatus,
    Timings,
)

READY = ServiceStatus(state=ServiceState.READY, detail="ready", slots=4, device="test")


@dataclass
class ScriptedService:
    """Gives every request back as it came, inverted, unless the script says otherwise.

    `errors` are raised, in order, by the next requests. While `gate` is cleared requests run but
    do not end.
    """

    status: ServiceStatus = READY
    errors: list[InferenceError] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    requests: list[Img2ImgRequest] = field(default_factory=list)
    steps: int = 3

    def __post_init__(self) -> None:
        self.gate.set()

    async def generate(
        self, request: Img2ImgRequest, on_progress: Callable[[Progress], None] | None = None
    ) -> Img2ImgResult:
        self.requests.append(request)
        if self.errors:
            raise self.errors.pop(0)
        for step in range(1, self.steps + 1):
            if on_progress is not None:
                on_progress(Progress(id=request.id, step=step, total=self.steps))
            await asyncio.sleep(0)
        await self.gate.wait()
        return Img2ImgResult(
            id=request.id,
            pixels=bytes(255 - value for value in request.pixels),
            width=request.width,
            height=request.height,
            steps_run=self.steps,
            timings=Timings(prepare=0.1, steps=0.3, decode=0.1),
            depth=request.pixels[::3] if request.return_depth else None,
        )
