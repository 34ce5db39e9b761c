"""The plain way, for diffusers pipelines that cannot be stepped from outside: one whole call.

Progress and cancelling go through the pipeline's step callback.
"""

from __future__ import annotations

import logging
import queue
import time
from collections.abc import Callable
from typing import Any

import torch
from PIL import Image

from inference.engine.loop import Event
from inference.errors import DeadlineExceeded, InferenceError, OutOfMemory
from inference.pipelines.devices import free_memory, is_out_of_memory
from inference.pipelines.schedulers import new_scheduler
from inference.types import Img2ImgRequest, Img2ImgResult, Progress, Timings
from inference.worker.messages import Failed, Started

log = logging.getLogger(__name__)


class _Cancelled(Exception):
    pass


class WholeCallEngine:
    """One request after the other through `pipe`, with the engine's own face."""

    def __init__(self, pipe: Any, report: Callable[[Event], None]) -> None:
        self.pipe = pipe
        self.report = report
        self._own_scheduler = pipe.scheduler
        self._inbox: queue.SimpleQueue[Img2ImgRequest | None] = queue.SimpleQueue()
        # Ids of requests that wait or run, and of those among them that nobody wants any more.
        self._present: set[str] = set()
        self._cancelled: set[str] = set()
        self._stopping = False

    def submit(self, request: Img2ImgRequest) -> None:
        """Put a request in line."""
        self._present.add(request.id)
        self._inbox.put(request)

    def cancel(self, request_id: str) -> None:
        """End a request that waits or runs, within one step; unknown ids are ignored."""
        if request_id in self._present:
            self._cancelled.add(request_id)

    def stop(self) -> None:
        """Return from `run`; the request under way ends with its step."""
        self._stopping = True
        self._inbox.put(None)

    def run(self) -> None:
        """Serve until stopped."""
        while (request := self._inbox.get()) is not None and not self._stopping:
            if request.deadline is not None and time.time() > request.deadline:
                error = DeadlineExceeded("It waited too long and was dropped.")
                self.report(Failed(request.id, error))
            elif request.id not in self._cancelled:
                self._serve(request)
            self._present.discard(request.id)
            self._cancelled.discard(request.id)

    def _serve(self, request: Img2ImgRequest) -> None:
        self.report(Started(request.id))
        start = time.monotonic()
        steps = 0

        def on_step(_pipe: Any, step: int, _time: Any, values: dict[str, Any]) -> dict[str, Any]:
            nonlocal steps
            steps = step + 1
            if self._stopping or request.id in self._cancelled:
                # Setting the pipeline's interrupt flag would still decode a half-done picture.
                raise _Cancelled
            self.report(Progress(id=request.id, step=steps, total=self.pipe.num_timesteps))
            return values

        self.pipe.scheduler = new_scheduler(self._own_scheduler, request.scheduler)
        try:
            image = self.pipe(
                prompt=request.prompt,
                negative_prompt=request.negative_prompt if request.guidance_scale > 1 else None,
                image=Image.frombytes("RGB", (request.width, request.height), request.pixels),
                # At least one step, or the pipeline has nothing to begin with; half a step more
                # than one, so that rounding does not take it away.
                strength=max(request.strength, min(1.0, 1.5 / request.steps)),
                num_inference_steps=request.steps,
                guidance_scale=request.guidance_scale,
                generator=torch.Generator("cpu").manual_seed(request.seed),
                callback_on_step_end=on_step,
            ).images[0]
        except _Cancelled:
            return
        except Exception as error:
            if is_out_of_memory(error):
                free_memory()
                told: InferenceError = OutOfMemory(
                    "This picture is too large for the device's memory."
                )
            elif isinstance(error, RuntimeError):
                # How torch tells of a broken device.
                raise
            else:
                log.exception("request %s", request.id)
                told = InferenceError("The model cannot make this picture.")
            self.report(Failed(request.id, told))
        else:
            self.report(
                Img2ImgResult(
                    id=request.id,
                    pixels=image.tobytes(),
                    width=image.width,
                    height=image.height,
                    steps_run=steps,
                    timings=Timings(prepare=0.0, steps=time.monotonic() - start, decode=0.0),
                )
            )
