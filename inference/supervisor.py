"""The local form of the service: one worker process, started, watched and replaced.

A worker that dies, reports a broken device, or takes no step for too long is killed and replaced.
Requests that it had not begun are simply sent again; those that it had begun fail with
`WorkerDied`, because whether to try once more must be decided where attempts are remembered.
Three deaths with no finished request in between, and the service gives up and says why.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import multiprocessing
import threading
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from inference.errors import InferenceError, ModelUnavailable, ServiceStopped, WorkerDied
from inference.messages import CannotLoad, Failed, Faulty, Ready, Started, WorkerConfig
from inference.models import find_model
from inference.service import ServiceState, ServiceStatus
from inference.types import Img2ImgRequest, Img2ImgResult, Progress
from inference.worker import main as worker_main

log = logging.getLogger(__name__)

# A step, a preparation or a decode of the full model on two CPU cores takes up to a minute.
STEP_DEADLINE = {"cuda": 120.0, "mps": 300.0, "cpu": 600.0}
DEATHS_IN_A_ROW = 3
STOP_SECONDS = 5.0


@dataclass(slots=True)
class _Pending:
    request: Img2ImgRequest
    on_progress: Callable[[Progress], None] | None
    answer: asyncio.Future[Img2ImgResult]
    started: bool = False


class LocalService:
    """`async with LocalService(model="pocket") as service`: returns at once, loads meanwhile.

    `model` is a catalogue name or a folder; `step_deadline` seconds without any sign of life while
    requests run count as a hang. Leaving the block ends the worker within about ten seconds.

    Raises:
        ModelUnavailable: on entering, if `model` names nothing.
    """

    def __init__(
        self,
        *,
        model: str,
        device: str = "auto",
        dtype: str = "auto",
        batch_rows: int = 0,
        cache_dir: Path = Path(".cache"),
        factory: str = "inference.factory:make_engine",
        step_deadline: float | None = None,
    ) -> None:
        self._config = WorkerConfig(
            entry=find_model(model),
            device=device,
            dtype=dtype,
            batch_rows=batch_rows,
            cache_dir=cache_dir,
            factory=factory,
            log_level=logging.getLogger().getEffectiveLevel(),
        )
        self._step_deadline = step_deadline
        self._pending: dict[str, _Pending] = {}
        self._status = ServiceStatus(state=ServiceState.LOADING, detail="loading the model")
        self._changed = asyncio.Event()
        self._pipe: Connection | None = None
        self._process: BaseProcess | None = None
        self._heard = 0.0
        self._deaths = 0
        self._stopping = False
        self._supervising: asyncio.Task[None] | None = None

    @property
    def status(self) -> ServiceStatus:
        """The state now; never blocks."""
        return self._status

    @property
    def worker_pid(self) -> int | None:
        """The worker's process id, for whoever watches processes."""
        return self._process.pid if self._process else None

    async def __aenter__(self) -> Self:
        self._supervising = asyncio.create_task(self._supervise(), name="inference supervisor")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stopping = True
        self._fail_all(ServiceStopped("The bot is stopping; this picture goes on after its start."))
        self._send("stop", None)
        assert self._supervising is not None
        _, late = await asyncio.wait({self._supervising}, timeout=STOP_SECONDS)
        if late:
            self._kill()
            await asyncio.wait({self._supervising}, timeout=STOP_SECONDS)
        self._supervising.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._supervising

    async def wait_ready(self) -> None:
        """Until requests are served.

        Raises:
            ModelUnavailable: they never will be.
        """
        while self._status.state is not ServiceState.READY:
            if self._status.state is ServiceState.FAILED:
                raise ModelUnavailable(self._status.detail)
            self._changed.clear()
            await self._changed.wait()

    async def wait_failed(self) -> None:
        """Until the service has given up for good; then raises.

        Raises:
            ModelUnavailable: always, with the reason.
        """
        while self._status.state is not ServiceState.FAILED:
            self._changed.clear()
            await self._changed.wait()
        raise ModelUnavailable(self._status.detail)

    async def generate(
        self,
        request: Img2ImgRequest,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> Img2ImgResult:
        """Run one request to its end; see `inference.service.InferenceService.generate`."""
        if self._stopping:
            raise ServiceStopped("The bot is stopping.")
        if self._status.state is ServiceState.FAILED:
            raise ModelUnavailable(self._status.detail)
        pending = _Pending(request, on_progress, asyncio.get_running_loop().create_future())
        self._pending[request.id] = pending
        if self._status.state is ServiceState.READY:
            self._send("submit", request)
        try:
            return await pending.answer
        except asyncio.CancelledError:
            self._send("cancel", request.id)
            raise
        finally:
            self._pending.pop(request.id, None)

    async def _supervise(self) -> None:
        while not self._stopping:
            reason = await self._live_once()
            if self._stopping:
                return
            if isinstance(reason, ModelUnavailable):
                self._give_up(str(reason))
                return
            self._deaths += 1
            log.error("the worker died: %s", reason)
            begun = [p for p in self._pending.values() if p.started]
            for pending in begun:
                self._answer(pending, WorkerDied("The model broke down over this picture."))
            if self._deaths >= DEATHS_IN_A_ROW:
                self._give_up(
                    f"The model died {self._deaths} times in a row, the last time: {reason}"
                )
                return
            self._set(ServiceState.RESTARTING, "starting the model again")

    async def _live_once(self) -> ModelUnavailable | str:
        """One worker's life from start to end; why it ended."""
        loop = asyncio.get_running_loop()
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(
            target=worker_main, args=(theirs, self._config), name="redraw-worker", daemon=True
        )
        await loop.run_in_executor(None, process.start)
        theirs.close()
        self._pipe, self._process, self._heard = ours, process, loop.time()
        messages: asyncio.Queue[Any] = asyncio.Queue()
        reader = threading.Thread(target=_read, args=(ours, loop, messages), daemon=True)
        reader.start()
        reason: ModelUnavailable | str | None = None
        try:
            while True:
                try:
                    async with asyncio.timeout(self._patience()):
                        message = await messages.get()
                except TimeoutError:
                    reason = "it took no step for too long"
                    break
                self._heard = loop.time()
                if message is None:
                    break
                if isinstance(message, CannotLoad):
                    reason = message.error
                elif isinstance(message, Faulty):
                    reason = message.reason
                else:
                    self._take(message)
        finally:
            self._kill()
            self._pipe = None
            await loop.run_in_executor(None, process.join, STOP_SECONDS)
            ours.close()
        return reason or f"it ended with exit code {process.exitcode}"

    def _patience(self) -> float | None:
        """Seconds until silence counts as a hang: none while nothing has begun."""
        if not any(pending.started for pending in self._pending.values()):
            return None
        return self._step_deadline or STEP_DEADLINE.get(self._status.device, 600.0)

    def _take(self, message: object) -> None:
        match message:
            case Ready(slots=slots, device=device, dtype=dtype):
                self._set(ServiceState.READY, "ready", slots=slots, device=device, dtype=dtype)
                for waiting in self._pending.values():
                    self._send("submit", waiting.request)
            case Started(id=id_) | Progress(id=id_) | Img2ImgResult(id=id_) | Failed(id=id_):
                if pending := self._pending.get(id_):
                    self._hear_of(pending, message)

    def _hear_of(
        self, pending: _Pending, message: Started | Progress | Img2ImgResult | Failed
    ) -> None:
        match message:
            case Started():
                pending.started = True
            case Progress():
                if pending.on_progress and not pending.answer.done():
                    pending.on_progress(message)
            case Img2ImgResult():
                self._deaths = 0
                self._answer(pending, message)
            case Failed(error=error):
                self._answer(pending, error)

    def _answer(self, pending: _Pending, what: Img2ImgResult | InferenceError) -> None:
        if pending.answer.done():
            return
        if isinstance(what, InferenceError):
            pending.answer.set_exception(what)
        else:
            pending.answer.set_result(what)

    def _give_up(self, reason: str) -> None:
        log.critical("%s", reason)
        self._set(ServiceState.FAILED, reason)
        self._fail_all(ModelUnavailable(reason))

    def _fail_all(self, error: InferenceError) -> None:
        for pending in list(self._pending.values()):
            self._answer(pending, error)

    def _set(self, state: ServiceState, detail: str, **more: Any) -> None:
        self._status = ServiceStatus(state=state, detail=detail, **more)
        self._changed.set()

    def _send(self, what: str, value: object) -> None:
        if self._pipe is not None:
            # A broken pipe means a dead worker, which the reader reports.
            with contextlib.suppress(OSError):
                self._pipe.send((what, value))

    def _kill(self) -> None:
        if self._process is not None and self._process.is_alive():
            self._process.kill()


def _read(pipe: Connection, loop: asyncio.AbstractEventLoop, messages: asyncio.Queue[Any]) -> None:
    """Blocks in a thread of its own; ends with the worker."""
    while True:
        try:
            message = pipe.recv()
        except (EOFError, OSError):
            message = None
        with contextlib.suppress(RuntimeError):  # the loop has closed: nobody listens any more
            loop.call_soon_threadsafe(messages.put_nowait, message)
        if message is None:
            return
