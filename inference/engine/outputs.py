"""The last stage of a request: decoding, copying to the host, reporting the result."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic

from inference.engine.device_time import DeviceMeter, Share
from inference.engine.failures import attempt, failure_of
from inference.engine.policy import BatchItem
from inference.engine.protocols import RunningT, StepModel, Transfer
from inference.types import ImageRequest, ImageResult, Preview, Timings
from inference.worker.messages import Event, Failed, TilesDone

PREVIEW_SECONDS = 0.4
"""Minimum time between two previews of a request; a viewer would not notice more of them."""


@dataclass(slots=True, eq=False)
class Job(Generic[RunningT]):
    """A prepared request and the times of its phases (`time.monotonic`)."""

    item: BatchItem
    running: RunningT
    begun_at: float
    prepared_at: float
    denoised_at: float = 0.0
    previewed_at: float = 0.0
    preview: Transfer[Preview] | None = None
    shares: list[Share] = field(default_factory=list)

    @property
    def request(self) -> ImageRequest:
        """The job's request."""
        return self.item.request

    @property
    def finished(self) -> bool:
        """Whether no step is left."""
        return self.running.step == self.running.total_steps

    def next_preview(self, model: StepModel[Any, RunningT]) -> Preview | None:
        """Launch a preview if one is due; return one whose copy has arrived."""
        now = time.monotonic()
        due = now - self.previewed_at > PREVIEW_SECONDS
        if self.request.preview and due and not self.finished:
            self.previewed_at = now
            self.preview = model.preview(self.running)
        if self.preview is None or not self.preview.ready:
            return None
        preview, self.preview = self.preview.result(), None
        return preview


@dataclass(frozen=True, slots=True)
class _Decoding(Generic[RunningT]):
    job: Job[RunningT]
    pixels: Transfer[bytes]
    extras: dict[str, Transfer[bytes]]

    def outputs(self) -> tuple[bytes, dict[str, bytes]]:
        extras = {name: transfer.result() for name, transfer in self.extras.items()}
        return self.pixels.result(), extras


class OutputStage(Generic[RunningT]):
    """Decodes finished requests one at a time and reports each once its copy has arrived.

    Requests in tiles take turns with the others: between the tiles of one, requests without tiles
    are decoded. Only one in tiles is decoded at a time, because its picture takes memory.
    """

    def __init__(
        self,
        model: StepModel[Any, RunningT],
        report: Callable[[Event], None],
        meter: DeviceMeter,
    ) -> None:
        self._model = model
        self._report = report
        self._meter = meter
        self._finished: deque[Job[RunningT]] = deque()
        self._finished_tiled: deque[Job[RunningT]] = deque()
        self._tiles_are_due = False
        self._decodings: deque[_Decoding[RunningT]] = deque()

    @property
    def has_work(self) -> bool:
        """Whether a request waits for its decoding."""
        return bool(self._finished or self._finished_tiled)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left to decode or to report."""
        return not (self.has_work or self._decodings)

    def add(self, job: Job[RunningT]) -> None:
        """Take over a request whose steps are done."""
        (self._finished_tiled if job.item.tiles > 1 else self._finished).append(job)

    def cancel(self, request_id: str) -> None:
        """Forget a cancelled request."""
        for finished in (self._finished, self._finished_tiled):
            for job in [each for each in finished if each.request.id == request_id]:
                finished.remove(job)
        self._decodings = deque(d for d in self._decodings if d.job.request.id != request_id)

    def decode_next(self, tiles: int) -> None:
        """Launch at most one decoding, or that of so many tiles of a request."""
        if not self.has_work:
            return
        tiled = bool(self._finished_tiled) and (self._tiles_are_due or not self._finished)
        self._tiles_are_due = not tiled
        finished = self._finished_tiled if tiled else self._finished
        job = finished.popleft()
        begin = self._meter.begin()
        left = attempt(lambda: self._model.decode_tiles(job.running, tiles))
        if isinstance(left, Exception):
            self._report(Failed(job.request.id, failure_of(job.request, left)))
            return
        if left:
            self._meter.end(begin, {job: 1})
            finished.appendleft(job)
            self._report(TilesDone(job.request.id))
            return
        decoding = attempt(
            lambda: _Decoding(
                job, self._model.decode(job.running), dict(self._model.extra_outputs(job.running))
            )
        )
        if isinstance(decoding, Exception):
            self._report(Failed(job.request.id, failure_of(job.request, decoding)))
        else:
            self._meter.end(begin, {job: 1})
            self._decodings.append(decoding)

    def report_ready(self, *, wait: bool) -> None:
        """Report the requests whose copies have arrived; all of them if `wait` is set."""
        while self._decodings and (wait or self._decodings[0].pixels.ready):
            self._complete(self._decodings.popleft())

    def _complete(self, decoding: _Decoding[RunningT]) -> None:
        job, request = decoding.job, decoding.job.request
        outputs = attempt(decoding.outputs)
        if isinstance(outputs, Exception):
            self._report(Failed(request.id, failure_of(request, outputs)))
            return
        pixels, extras = outputs
        self._report(
            ImageResult(
                id=request.id,
                pixels=pixels,
                width=request.width,
                height=request.height,
                steps_run=job.running.total_steps,
                timings=Timings(
                    prepare=job.prepared_at - job.begun_at,
                    steps=job.denoised_at - job.prepared_at,
                    decode=time.monotonic() - job.denoised_at,
                    device=self._meter.seconds(job),
                ),
                ignored_prompt=job.running.ignored_prompt,
                depth=extras.get("depth"),
                mask=extras.get("mask"),
            )
        )
