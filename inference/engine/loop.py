"""The step loop: requests join and leave the batch between denoising steps.

Continuous batching as language-model servers do it (Yu et al. 2022, "Orca"), for a UNet: each turn
takes the running requests of one picture size, makes one UNet call for all their rows, and lets
each request's own scheduler step its own slice.

Pictures of one size have one latent shape. Sizes take turns, and a request is prepared when the
turn of its size has come or comes next.
"""

from __future__ import annotations

import logging
import queue
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from inference.engine.transfers import PendingTransfer
from inference.errors import DeadlineExceeded, InferenceError, OutOfMemory
from inference.pipelines.devices import free_memory, is_out_of_memory
from inference.types import Img2ImgRequest, Img2ImgResult, Preview, Progress, Timings
from inference.worker.messages import Failed, Started

log = logging.getLogger(__name__)

# No more often than a person looks.
PREVIEW_SECONDS = 0.4


class Running(Protocol):
    """What the loop needs to know of a request under way."""

    request: Img2ImgRequest
    step: int
    timesteps: list[Any]
    ignored_prompt: str
    partially_stepped: bool

    @property
    def rows(self) -> int:
        """Rows in a UNet call."""
        ...

    @property
    def finished(self) -> bool:
        """No step is left."""
        ...


class StepModel(Protocol):
    """What the loop drives; `inference.families.depth2img.Depth2ImgModel` is one.

    `InferenceError`s of `prepare`, of `decode` and of what it returns go to whoever asked, and so
    does a lack of memory where nothing else can be freed. A `RuntimeError` else is how torch tells
    of a broken device: it ends the loop.
    """

    def prepare(self, request: Img2ImgRequest) -> Any:
        """Everything before the first step: a `Running`."""
        ...

    def predict(self, batch: Sequence[Any]) -> None:
        """One step of every request in the batch."""
        ...

    def decode(self, one: Any) -> PendingTransfer[bytes]:
        """RGB bytes of a finished request."""
        ...

    def preview(self, one: Any) -> PendingTransfer[Preview]:
        """A small picture of a request under way."""
        ...

    def depth_picture(self, one: Any) -> PendingTransfer[bytes]:
        """The depth map that steers it, 8-bit grey."""
        ...


Event = Started | Progress | Img2ImgResult | Failed
Size = tuple[int, int]


def _size(request: Img2ImgRequest) -> Size:
    return request.width, request.height


def _rows(request: Img2ImgRequest) -> int:
    return 2 if request.guidance_scale > 1 else 1


@dataclass(slots=True)
class _Job:
    one: Any
    joined: float
    prepared: float
    denoised: float = 0.0
    previewed: float = 0.0
    preview: PendingTransfer[Preview] | None = None


@dataclass(frozen=True, slots=True)
class _Decode:
    job: _Job
    pixels: PendingTransfer[bytes]
    depth: PendingTransfer[bytes] | None


@dataclass(slots=True)
class Engine:
    """Owns the device's one thread: `run` until `stop`.

    `row_limit` bounds the rows of all running requests together, `request_limit` their number.
    `submit`, `cancel` and `stop` may be called from any thread; `report` is called from `run`'s.
    """

    model: StepModel
    report: Callable[[Event], None]
    row_limit: int = 2
    request_limit: int = 64
    turns: int = 0
    _inbox: queue.SimpleQueue[tuple[str, Any]] = field(default_factory=queue.SimpleQueue)
    _waiting: deque[Img2ImgRequest] = field(default_factory=deque)
    _running: list[_Job] = field(default_factory=list)
    _finished: deque[_Job] = field(default_factory=deque)
    _decodes: deque[_Decode] = field(default_factory=deque)
    _sizes: list[Size] = field(default_factory=list)
    _stopping: bool = False

    def submit(self, request: Img2ImgRequest) -> None:
        """Put a request in line."""
        self._inbox.put(("submit", request))

    def cancel(self, request_id: str) -> None:
        """End a request wherever it is, within one step; unknown ids are ignored."""
        self._inbox.put(("cancel", request_id))

    def stop(self) -> None:
        """Return from `run` after the step under way."""
        self._inbox.put(("stop", None))

    def run(self) -> None:
        """Turn the loop until stopped. Errors of the device that no request caused are raised."""
        while not self._stopping:
            self.turn()

    def turn(self) -> None:
        """One round: hear, admit at most one, one step for one size, decode at most one."""
        self._hear(block=not (self._waiting or self._running or self._finished or self._decodes))
        if self._stopping:
            return
        self._admit()
        self._step()
        if self._finished:
            self._decode(self._finished.popleft())
        # With nothing else to launch there is nothing to keep the device from by waiting for it.
        rests = not (self._waiting or self._running or self._finished)
        while self._decodes and (rests or self._decodes[0].pixels.here):
            self._hand_over(self._decodes.popleft())
        self.turns += 1

    def _hear(self, *, block: bool) -> None:
        while True:
            try:
                what, value = self._inbox.get(block=block)
            except queue.Empty:
                return
            block = False
            match what:
                case "submit":
                    self._waiting.append(value)
                case "cancel":
                    self._waiting = deque(r for r in self._waiting if r.id != value)
                    self._running = [j for j in self._running if j.one.request.id != value]
                    self._finished = deque(j for j in self._finished if j.one.request.id != value)
                    self._decodes = deque(d for d in self._decodes if d.job.one.request.id != value)
                case "stop":
                    self._stopping = True

    def _line_up(self) -> list[Img2ImgRequest]:
        """Put the sizes that run or may begin in the order of their turns, new ones last.

        Returns the requests for which there is room, all together.
        """
        begin: list[Img2ImgRequest] = []
        rows = sum(job.one.rows for job in self._running)
        for request in self._waiting:
            rows += _rows(request)
            count = len(self._running) + len(begin)
            if count and (rows > self.row_limit or count >= self.request_limit):
                break
            begin.append(request)
        present = [_size(job.one.request) for job in self._running] + [_size(r) for r in begin]
        self._sizes = [size for size in self._sizes if size in present] + [
            size for size in dict.fromkeys(present) if size not in self._sizes
        ]
        return begin

    def _admit(self) -> None:
        begin = self._line_up()
        due = (one for size in self._sizes[:2] for one in begin if _size(one) == size)
        request = next(due, None)
        if request is None:
            return
        self._waiting.remove(request)
        if request.deadline is not None and time.time() > request.deadline:
            self.report(Failed(request.id, DeadlineExceeded("It waited too long and was dropped.")))
            return
        self.report(Started(request.id))
        joined = time.monotonic()
        try:
            one = self.model.prepare(request)
        except Exception as error:  # noqa: BLE001 - looked at in one place
            if self._excuse(request, error):
                self._waiting.append(request)
            return
        self._running.append(_Job(one, joined, time.monotonic()))

    def _step(self) -> None:
        if not self._running:
            return
        running = {_size(job.one.request) for job in self._running}
        size = next(size for size in self._sizes if size in running)
        self._sizes.remove(size)
        self._sizes.append(size)
        batch = [job for job in self._running if _size(job.one.request) == size]
        try:
            self.model.predict([job.one for job in batch])
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            self._shrink(batch)
            return
        for job in batch:
            self._tell(job)
        now = time.monotonic()
        for job in batch:
            if job.one.finished:
                job.denoised = now
                self._finished.append(job)
        self._running = [job for job in self._running if not job.one.finished]

    def _tell(self, job: _Job) -> None:
        one, preview = job.one, None
        now = time.monotonic()
        if one.request.preview and not one.finished and now - job.previewed > PREVIEW_SECONDS:
            job.previewed = now
            job.preview = self.model.preview(one)
        if job.preview is not None and job.preview.here:
            preview, job.preview = job.preview.get(), None
        total = len(one.timesteps)
        self.report(Progress(id=one.request.id, step=one.step, total=total, preview=preview))

    def _shrink(self, batch: list[_Job]) -> None:
        """Out of memory in a step: fewer rows from now on; the youngest begins again later, and
        with it whose scheduler was stopped half-way through a step."""
        free_memory()
        youngest = max(batch, key=lambda job: job.joined)
        back = [job for job in batch if job.one.partially_stepped or job is youngest]
        self._running = [job for job in self._running if job not in back]
        if not self._running and len(batch) == 1:
            self._too_large(youngest.one.request)
            return
        rows = sum(job.one.rows for job in batch)
        self.row_limit = max(2, min(self.row_limit, rows) - youngest.one.rows)
        log.warning("out of memory with %d rows: at most %d from now on", rows, self.row_limit)
        self._waiting.extendleft(job.one.request for job in reversed(back))

    def _excuse(self, request: Img2ImgRequest, error: Exception) -> bool:
        """Whether what went wrong with one request alone is worth another try, once the others
        have left; if not, it has been reported. A broken device's error is raised again."""
        if is_out_of_memory(error):
            free_memory()
            if self._running:
                self.row_limit = max(2, sum(job.one.rows for job in self._running))
                return True
            self._too_large(request)
        elif isinstance(error, InferenceError):
            self.report(Failed(request.id, error))
        elif isinstance(error, RuntimeError):
            raise error
        else:
            log.error("request %s", request.id, exc_info=error)
            self.report(Failed(request.id, InferenceError("The model cannot make this picture.")))
        return False

    def _too_large(self, request: Img2ImgRequest) -> None:
        error = OutOfMemory("This picture is too large for the device's memory.")
        self.report(Failed(request.id, error))

    def _decode(self, job: _Job) -> None:
        one = job.one
        try:
            pixels = self.model.decode(one)
            depth = self.model.depth_picture(one) if one.request.return_depth else None
        except Exception as error:  # noqa: BLE001 - looked at in one place
            self._excuse_decode(job, error)
        else:
            self._decodes.append(_Decode(job, pixels, depth))

    def _hand_over(self, decode: _Decode) -> None:
        job = decode.job
        request: Img2ImgRequest = job.one.request
        try:
            pixels = decode.pixels.get()
        except Exception as error:  # noqa: BLE001 - looked at in one place
            self._excuse_decode(job, error)
            return
        self.report(
            Img2ImgResult(
                id=request.id,
                pixels=pixels,
                width=request.width,
                height=request.height,
                steps_run=len(job.one.timesteps),
                timings=Timings(
                    prepare=job.prepared - job.joined,
                    steps=job.denoised - job.prepared,
                    decode=time.monotonic() - job.denoised,
                ),
                ignored_prompt=job.one.ignored_prompt,
                depth=decode.depth.get() if decode.depth else None,
            )
        )

    def _excuse_decode(self, job: _Job, error: Exception) -> None:
        if self._excuse(job.one.request, error):
            # Its steps are not lost.
            self._finished.append(job)
