"""The step loop: continuous batching for denoising models.

Requests join and leave the batch between denoising steps, as language-model servers do it (Yu et
al. 2022, "Orca"). Each turn prepares at most one request, makes one denoiser call for the rows of
all requests in the next batch, and decodes at most one finished request. `BatchPolicy` decides
which; this module executes and reports.
"""

from __future__ import annotations

import logging
import queue
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic

from inference.engine.policy import BatchItem, BatchPolicy
from inference.engine.protocols import R, StepModel, Transfer
from inference.errors import DeadlineExceeded, InferenceError, OutOfMemory
from inference.pipelines.devices import free_memory, is_out_of_memory
from inference.types import Img2ImgRequest, Img2ImgResult, Preview, Progress, Timings
from inference.worker.messages import Cancel, Command, Event, Failed, Started, Stop, Submit

log = logging.getLogger(__name__)

PREVIEW_SECONDS = 0.4
"""Minimum time between two previews of a request; a viewer would not notice more of them."""


@dataclass(slots=True, eq=False)
class _Job(Generic[R]):
    """A prepared request and the times of its phases (`time.monotonic`)."""

    item: BatchItem
    running: R
    admitted_at: float
    prepared_at: float
    denoised_at: float = 0.0
    previewed_at: float = 0.0
    preview: Transfer[Preview] | None = None

    @property
    def request(self) -> Img2ImgRequest:
        return self.item.request


@dataclass(frozen=True, slots=True)
class _Decoding(Generic[R]):
    """A finished request whose outputs are being copied to the host."""

    job: _Job[R]
    pixels: Transfer[bytes]
    extras: dict[str, Transfer[bytes]]


@dataclass(slots=True, eq=False)
class SteppedEngine(Generic[R]):
    """Owns the device's thread: `run` until a `Stop` arrives. `report` is called in that thread."""

    model: StepModel[R]
    report: Callable[[Event], None]
    policy: BatchPolicy = field(default_factory=lambda: BatchPolicy(row_limit=2, request_limit=64))
    turns: int = 0
    _inbox: queue.SimpleQueue[Command] = field(default_factory=queue.SimpleQueue)
    _jobs: dict[BatchItem, _Job[R]] = field(default_factory=dict)
    _finished: deque[_Job[R]] = field(default_factory=deque)
    _decodings: deque[_Decoding[R]] = field(default_factory=deque)
    _stopping: bool = False

    def post(self, command: Command) -> None:
        """Accept a command. May be called from any thread and never blocks."""
        self._inbox.put(command)

    def run(self) -> None:
        """Take turns until stopped. Raises the errors of a broken device."""
        while not self._stopping:
            self.turn()

    def turn(self) -> None:
        """Handle commands, admit at most one request, step one batch, decode at most one."""
        self._receive(block=not (self._has_work or self._decodings))
        if self._stopping:
            return
        self._admit()
        self._step()
        if self._finished:
            self._decode(self._finished.popleft())
        # Waiting for a copy costs nothing when there is nothing else to launch.
        while self._decodings and (self._decodings[0].pixels.ready or not self._has_work):
            self._complete(self._decodings.popleft())
        self.turns += 1

    @property
    def _has_work(self) -> bool:
        return bool(self.policy.waiting or self._jobs or self._finished)

    def _receive(self, *, block: bool) -> None:
        while True:
            try:
                command = self._inbox.get(block=block)
            except queue.Empty:
                return
            block = False
            match command:
                case Submit(request=request):
                    key, rows = self.model.batch_key(request), self.model.rows(request)
                    self.policy.add(BatchItem(request, key, rows))
                case Cancel(id=request_id):
                    self._cancel(request_id)
                case Stop():
                    self._stopping = True

    def _cancel(self, request_id: str) -> None:
        self.policy.remove(request_id)
        self._jobs = {i: job for i, job in self._jobs.items() if i.request.id != request_id}
        self._finished = deque(j for j in self._finished if j.request.id != request_id)
        self._decodings = deque(d for d in self._decodings if d.job.request.id != request_id)

    def _admit(self) -> None:
        item = self.policy.next_admission()
        if item is None:
            return
        request = item.request
        if request.deadline is not None and time.time() > request.deadline:
            self.report(Failed(request.id, DeadlineExceeded("It waited too long and was dropped.")))
            return
        self.report(Started(request.id))
        admitted_at = time.monotonic()
        try:
            running = self.model.prepare(request)
        except Exception as error:  # noqa: BLE001 - classified in one place
            if self._can_retry(request, error):
                self.policy.add(item)
            return
        self.policy.start(item)
        self._jobs[item] = _Job(item, running, admitted_at, time.monotonic())

    def _step(self) -> None:
        batch = [self._jobs[item] for item in self.policy.next_batch()]
        if not batch:
            return
        try:
            self.model.predict([job.running for job in batch])
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            self._reduce_batch(batch)
            return
        for job in batch:
            self._report_progress(job)
        now = time.monotonic()
        for job in batch:
            if job.running.step == job.running.total_steps:
                job.denoised_at = now
                self.policy.finish(job.item)
                self._finished.append(self._jobs.pop(job.item))

    def _report_progress(self, job: _Job[R]) -> None:
        running, preview = job.running, None
        step, total = running.step, running.total_steps
        now = time.monotonic()
        if job.request.preview and step < total and now - job.previewed_at > PREVIEW_SECONDS:
            job.previewed_at = now
            job.preview = self.model.preview(running)
        if job.preview is not None and job.preview.ready:
            preview, job.preview = job.preview.result(), None
        self.report(Progress(id=job.request.id, step=step, total=total, preview=preview))

    def _reduce_batch(self, batch: list[_Job[R]]) -> None:
        """Out of memory in a step: use fewer rows from now on. The youngest request begins again
        later, as do those whose state the error left unusable."""
        free_memory()
        youngest = max(batch, key=lambda job: job.admitted_at)
        restarting = [job for job in batch if job.running.must_restart or job is youngest]
        for job in restarting:
            del self._jobs[job.item]
        if not self._jobs and len(batch) == 1:
            self.policy.finish(youngest.item)
            self._fail_too_large(youngest.request)
            return
        rows = sum(job.item.rows for job in batch)
        self.policy.lower_row_limit(rows - youngest.item.rows)
        limit = self.policy.row_limit
        log.warning("out of memory with %d rows: at most %d from now on", rows, limit)
        self.policy.requeue_first([job.item for job in restarting])

    def _can_retry(self, request: Img2ImgRequest, error: Exception) -> bool:
        """Whether a request that failed by itself is worth another try once others have left; if
        not, its failure has been reported. The error of a broken device is raised again."""
        if is_out_of_memory(error):
            free_memory()
            if self._jobs:
                self.policy.lower_row_limit(sum(item.rows for item in self._jobs))
                return True
            self._fail_too_large(request)
        elif isinstance(error, InferenceError):
            self.report(Failed(request.id, error))
        elif isinstance(error, RuntimeError):
            raise error
        else:
            log.error("request %s failed", request.id, exc_info=error)
            self.report(Failed(request.id, InferenceError("The model cannot make this picture.")))
        return False

    def _fail_too_large(self, request: Img2ImgRequest) -> None:
        error = OutOfMemory("This picture is too large for the device's memory.")
        self.report(Failed(request.id, error))

    def _decode(self, job: _Job[R]) -> None:
        try:
            pixels = self.model.decode(job.running)
            extras = dict(self.model.extra_outputs(job.running))
        except Exception as error:  # noqa: BLE001 - classified in one place
            self._retry_decoding(job, error)
        else:
            self._decodings.append(_Decoding(job, pixels, extras))

    def _complete(self, decoding: _Decoding[R]) -> None:
        job, request = decoding.job, decoding.job.request
        try:
            pixels = decoding.pixels.result()
        except Exception as error:  # noqa: BLE001 - classified in one place
            self._retry_decoding(job, error)
            return
        extras = {name: transfer.result() for name, transfer in decoding.extras.items()}
        self.report(
            Img2ImgResult(
                id=request.id,
                pixels=pixels,
                width=request.width,
                height=request.height,
                steps_run=job.running.total_steps,
                timings=Timings(
                    prepare=job.prepared_at - job.admitted_at,
                    steps=job.denoised_at - job.prepared_at,
                    decode=time.monotonic() - job.denoised_at,
                ),
                ignored_prompt=job.running.ignored_prompt,
                depth=extras.get("depth"),
            )
        )

    def _retry_decoding(self, job: _Job[R], error: Exception) -> None:
        if self._can_retry(job.request, error):
            # The steps it took are kept.
            self._finished.append(job)
