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
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from inference.errors import InferenceError, ModelUnavailable, ServiceStopped, WorkerDied
from inference.models import find_model
from inference.service import ServiceState, ServiceStatus
from inference.types import Img2ImgRequest, Img2ImgResult, Progress
from inference.worker.messages import (
    CannotLoad,
    Failed,
    Faulty,
    Loading,
    Ready,
    Started,
    WorkerConfig,
)
from inference.worker.process import WorkerProcess

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
        factory: str = "inference.families.build:build_engine",
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
        self._process: WorkerProcess | None = None
        self._patience: asyncio.Timeout | None = None
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
        assert self._supervising is not None
        self._stopping = True
        self._fail_all(ServiceStopped("The bot is stopping; this picture goes on after its start."))
        if self._process is not None and self._status.state is ServiceState.READY:
            self._process.send("stop", None)
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
            await self._changed.wait()

    async def wait_failed(self) -> None:
        """Until the service has given up for good; then raises.

        Raises:
            ModelUnavailable: always, with the reason.
        """
        while self._status.state is not ServiceState.FAILED:
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
            self._submit(pending)
        try:
            return await pending.answer
        except BaseException:
            if self._process is not None:
                self._process.send("cancel", request.id)
            raise
        finally:
            self._pending.pop(request.id, None)
            if not self._pending:
                self._watch(None)

    async def _supervise(self) -> None:
        while not self._stopping:
            try:
                reason = await self._live_once()
            except OSError as error:
                reason = f"no process could be started ({error.strerror})"
            if self._stopping:
                return
            if isinstance(reason, ModelUnavailable):
                self._give_up(str(reason))
                return
            self._deaths += 1
            log.error("the worker died: %s", reason)
            for pending in [one for one in self._pending.values() if one.started]:
                self._answer(pending, WorkerDied("The model broke down over this picture."))
            if self._deaths >= DEATHS_IN_A_ROW:
                self._give_up(
                    f"The model died {self._deaths} times in a row, the last time: {reason}."
                )
                return
            self._set(ServiceState.RESTARTING, "starting the model again")

    async def _live_once(self) -> ModelUnavailable | str:
        """One worker's life from start to end; why it ended."""
        child = await WorkerProcess.start(self._config)
        self._process = child
        reason: ModelUnavailable | str | None = None
        try:
            async with asyncio.timeout(None) as self._patience:
                while (message := await child.receive()) is not None:
                    match message:
                        case CannotLoad(error=error):
                            reason = error
                        case Faulty(reason=fault):
                            reason = fault
                            break
                        case _:
                            self._take(message)
                    self._watch(self._deadline if self._pending else None)
        except TimeoutError:
            reason = f"it took no step for {self._deadline:.0f} seconds"
        finally:
            self._process = self._patience = None
            ended = await asyncio.shield(child.close())
        return reason or ended

    @property
    def _deadline(self) -> float:
        return self._step_deadline or STEP_DEADLINE.get(self._status.device, 600.0)

    def _watch(self, seconds: float | None) -> None:
        """From now on a silence of so many seconds counts as a hang; never, if None."""
        if self._patience is None:
            return
        if seconds is None or self._status.state is not ServiceState.READY:
            self._patience.reschedule(None)
        else:
            self._patience.reschedule(asyncio.get_running_loop().time() + seconds)

    def _submit(self, pending: _Pending) -> None:
        assert self._process is not None
        self._process.send("submit", pending.request)
        if self._patience is not None and self._patience.when() is None:
            self._watch(self._deadline)

    def _take(self, message: object) -> None:
        match message:
            case Loading(detail=detail):
                self._set(self._status.state, detail)
            case Ready(slots=slots, device=device, dtype=dtype):
                self._set(ServiceState.READY, "ready", slots=slots, device=device, dtype=dtype)
                for waiting in self._pending.values():
                    self._submit(waiting)
            case Started(id=id_) | Progress(id=id_) | Img2ImgResult(id=id_) | Failed(id=id_):
                pending = self._pending.get(id_)
                if pending is not None and not pending.answer.done():
                    self._hear_of(pending, message)

    def _hear_of(
        self, pending: _Pending, message: Started | Progress | Img2ImgResult | Failed
    ) -> None:
        match message:
            case Started():
                pending.started = True
            case Progress():
                if pending.on_progress is not None:
                    try:
                        pending.on_progress(message)
                    except Exception as error:  # noqa: BLE001 - it is the caller's, and goes there
                        self._answer(pending, error)
            case Img2ImgResult():
                self._deaths = 0
                self._answer(pending, message)
            case Failed(error=error):
                self._answer(pending, error)

    def _answer(self, pending: _Pending, what: Img2ImgResult | Exception) -> None:
        if pending.answer.done():
            return
        if isinstance(what, Exception):
            pending.answer.set_exception(what)
        else:
            pending.answer.set_result(what)

    def _give_up(self, reason: str) -> None:
        log.critical("%s", reason)
        self._set(ServiceState.FAILED, reason)
        self._fail_all(ModelUnavailable(reason))

    def _fail_all(self, error: InferenceError) -> None:
        for pending in self._pending.values():
            self._answer(pending, error)

    def _set(self, state: ServiceState, detail: str, **more: Any) -> None:
        self._status = ServiceStatus(state=state, detail=detail, **more)
        # Whoever waits looks again; the next change is another event.
        self._changed.set()
        self._changed = asyncio.Event()
