"""An engine for diffusers pipelines that cannot be stepped from outside: one call a request.

Progress and cancelling go through the pipeline's step callback.
"""

from __future__ import annotations

import inspect
import queue
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from diffusers import AutoPipelineForText2Image
from PIL import Image

from inference.engine.failures import attempt, failure_of
from inference.engine.outputs import PREVIEW_SECONDS
from inference.errors import DeadlineExceeded, InferenceError, TaskNotSupported
from inference.families.latent_preview import LatentPreview
from inference.pipelines.schedulers import new_scheduler
from inference.types import ImageRequest, ImageResult, Preview, Progress, Timings
from inference.worker.messages import (
    Cancel,
    Command,
    Event,
    Failed,
    Started,
    Statistics,
    Stop,
    Submit,
)


class _Cancelled(Exception):
    pass


class WholeCallEngine:
    """Runs one request after the other through `pipe`, or through the pipeline of its components
    that draws from text; `report` is called in `run`'s thread."""

    def __init__(self, pipe: Any, report: Callable[[Event], None]) -> None:
        self.pipe = pipe
        self.report = report
        self._from_text: Any = None
        self._default_scheduler = pipe.scheduler
        self._previews = LatentPreview(pipe)
        self._next_preview = 0.0
        self._calls = self._rows = 0
        self._inbox: queue.SimpleQueue[ImageRequest | None] = queue.SimpleQueue()
        # Ids of requests that wait or run, and those among them that were cancelled.
        self._present: set[str] = set()
        self._cancelled: set[str] = set()
        self._stopping = False

    def post(self, command: Command) -> None:
        """Accept a command. May be called from any thread and never blocks.

        `Cancel` and `Stop` take effect after the current step of the current call.
        """
        match command:
            case Submit(request=request):
                self._present.add(request.id)
                self._inbox.put(request)
            case Cancel(id=request_id):
                if request_id in self._present:
                    self._cancelled.add(request_id)
            case Stop():
                self._stopping = True
                self._inbox.put(None)

    def run(self) -> None:
        """Serve until stopped. Raises the errors of a broken device."""
        while not self._stopping:
            self.turn()

    @property
    def idle(self) -> bool:
        """Whether no request waits."""
        return self._inbox.empty()

    def turn(self) -> None:
        """Serve one request, or wait for one."""
        request = self._inbox.get()
        if request is None or self._stopping:
            return
        if request.deadline is not None and time.time() > request.deadline:
            error = DeadlineExceeded("It waited too long and was dropped.")
            self.report(Failed(request.id, error))
        elif request.tile is not None:
            refusal = InferenceError("This model cannot redraw a picture in tiles.")
            self.report(Failed(request.id, refusal))
        elif request.pixels and "image" not in _parameters(self.pipe):
            self.report(Failed(request.id, TaskNotSupported("This model cannot use a picture.")))
        elif request.id not in self._cancelled:
            self._serve(request)
        self._present.discard(request.id)
        self._cancelled.discard(request.id)

    def close(self) -> None:
        """Nothing to release: the engine has no thread of its own."""

    def _text_pipe(self) -> Any:
        """The pipeline of the same components that draws from text."""
        if self._from_text is None:
            self._from_text = AutoPipelineForText2Image.from_pipe(self.pipe)
            self._from_text.set_progress_bar_config(disable=True)
        return self._from_text

    def _preview(self, latents: torch.Tensor) -> Preview | None:
        now = time.monotonic()
        if now < self._next_preview:
            return None
        self._next_preview = now + PREVIEW_SECONDS
        return self._previews.render(latents).result()

    def _serve(self, request: ImageRequest) -> None:
        self.report(Started(request.id))
        self._next_preview = 0.0
        start = time.monotonic()
        steps = 0

        def report_progress(
            pipe: Any, step: int, _time: Any, values: dict[str, Any]
        ) -> dict[str, Any]:
            nonlocal steps
            steps = step + 1
            self._calls += 1
            self._rows += 2 if request.guidance_scale > 1 else 1
            if self._stopping or request.id in self._cancelled:
                # The pipeline's interrupt flag would still decode the unfinished latents.
                raise _Cancelled
            preview = self._preview(values["latents"]) if request.preview else None
            total = pipe.num_timesteps
            self.report(Progress(id=request.id, step=steps, total=total, preview=preview))
            return values

        def call() -> Any:
            pipe = self.pipe if request.pixels else self._text_pipe()
            scheduler = new_scheduler(self._default_scheduler, request.scheduler, request.steps)
            pipe.scheduler = scheduler
            return pipe(**_arguments(pipe, request, report_progress)).images[0]

        image = attempt(call)
        self.report(Statistics(denoiser_calls=self._calls, denoiser_rows=self._rows))
        if isinstance(image, _Cancelled):
            return
        if isinstance(image, Exception):
            self.report(Failed(request.id, failure_of(request, image)))
            return
        seconds = time.monotonic() - start
        self.report(
            ImageResult(
                id=request.id,
                pixels=image.tobytes(),
                width=image.width,
                height=image.height,
                steps_run=steps,
                timings=Timings(prepare=0.0, steps=seconds, decode=0.0, device=seconds),
            )
        )


def _parameters(pipe: Any) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(type(pipe).__call__).parameters


def _arguments(pipe: Any, request: ImageRequest, callback: Callable[..., Any]) -> dict[str, Any]:
    """The arguments of the pipeline's call for a request: those that it takes. Pipelines without a
    step callback report no progress."""
    accepted = _parameters(pipe)
    size = {"width": request.width, "height": request.height}
    given: dict[str, Any] = {
        "prompt": request.prompt,
        # An empty string would be encoded; without one, SDXL takes zeros.
        "negative_prompt": request.negative_prompt or None,
        # The pipeline fails without a step. Half a step is added so that rounding down leaves one.
        "strength": max(request.strength, min(1.0, 1.5 / request.steps)),
        "num_inference_steps": request.steps,
        "guidance_scale": request.guidance_scale,
        "generator": torch.Generator("cpu").manual_seed(request.seed),
        "callback_on_step_end": callback,
    }
    if request.pixels:
        given["image"] = Image.frombytes("RGB", (request.width, request.height), request.pixels)
    # Where a picture is redrawn with a strength, it gives the size.
    if not request.pixels or "strength" not in accepted:
        given |= size
    return {name: value for name, value in given.items() if name in accepted}
