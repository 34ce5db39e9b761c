"""`LocalService`: one worker process that is started, watched and replaced.

A worker that ends, reports a device fault, or sends no message for too long is killed and replaced.
Requests that it had not started are sent to the next worker. Requests that it had started fail with
`WorkerDied`; the caller, which stores the number of attempts, decides whether to try them again.
After three worker deaths without a finished request in between, the service fails for good.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from inference.errors import (
    InferenceError,
    ModelUnavailable,
    ServiceStopped,
    WorkerDied,
    WorkerFailed,
)
from inference.models import find_model
from inference.service import DownloadProgress, ServiceState, ServiceStatus
from inference.types import Img2ImgRequest, Img2ImgResult, Progress
from inference.worker.messages import (
    Cancel,
    Capacity,
    Failed,
    LoadFailed,
    Loading,
    Ready,
    Started,
    Statistics,
    Stop,
    Submit,
    WorkerConfig,
    WorkerFault,
)
from inference.worker.process import WorkerProcess

log = logging.getLogger(__name__)

DOWNLOAD_ONLY = "inference.worker.download:build_engine"
"""For `LocalService(factory=...)`: the worker downloads the model and is then ready, without it."""

# Seconds, by device. A step, a preparation or a decode of the full model on two CPU cores takes up
# to a minute.
STEP_DEADLINE = {"cuda": 120.0, "mps": 300.0, "cpu": 600.0}
# While loading: seconds without any activity of the process, and seconds in one phase. Compiling is
# the longest phase on a GPU (see COMPILE_SECONDS in inference.pipelines.compile), reading the files
# of a large model from a slow disk the longest one on a CPU.
LOAD_SILENCE_SECONDS = 180.0
LOAD_PHASE_SECONDS = 1800.0
# Between two log lines about the same download.
DOWNLOAD_LOG_SECONDS = 10.0
MAX_CONSECUTIVE_DEATHS = 3
STOP_SECONDS = 5.0


@dataclass(slots=True)
class _Pending:
    request: Img2ImgRequest
    on_progress: Callable[[Progress], None] | None
    future: asyncio.Future[Img2ImgResult]
    started: bool = False


class LocalService:
    """`async with LocalService(model="pocket") as service`: an `InferenceService` on one device.

    `model` is a name that `find_model` accepts. `step_deadline` is the number of seconds without a
    message, while requests run, after which the worker counts as hung; `load_deadline` is the same
    for the time in which it loads the model. `environment` holds environment variables to set in
    the worker, or to remove if None. Leaving the block ends the worker within about ten seconds.

    Raises:
        UnknownModel: by the constructor, if `model` is neither.
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
        factory_options: Mapping[str, Any] | None = None,
        environment: Mapping[str, str | None] | None = None,
        step_deadline: float | None = None,
        load_deadline: float = LOAD_SILENCE_SECONDS,
    ) -> None:
        self._config = WorkerConfig(
            entry=find_model(model),
            device=device,
            dtype=dtype,
            batch_rows=batch_rows,
            cache_dir=cache_dir,
            factory=factory,
            factory_options=dict(factory_options or {}),
            environment=dict(environment or {}),
            log_level=logging.getLogger().getEffectiveLevel(),
        )
        self._step_deadline = step_deadline
        self._load_deadline = load_deadline
        self._pending: dict[str, _Pending] = {}
        self._status = ServiceStatus(state=ServiceState.LOADING, detail="loading the model")
        self._status_changed = asyncio.Event()
        self._failure: ModelUnavailable | None = None
        self._process: WorkerProcess | None = None
        self._watchdog: asyncio.Timeout | None = None
        self._loading = False
        self._phase_end = 0.0
        self._download_logged = 0.0
        self._consecutive_deaths = 0
        self._restarts = 0
        # Of the workers that have ended, and of the current one.
        self._ended_statistics = self._worker_statistics = Statistics()
        self._stopping = False
        self._supervisor: asyncio.Task[None] | None = None

    @property
    def status(self) -> ServiceStatus:
        """The current state; never blocks."""
        total = self._statistics
        return replace(
            self._status,
            worker_pid=self.worker_pid,
            restarts=self._restarts,
            denoiser_calls=total.denoiser_calls,
            denoiser_rows=total.denoiser_rows,
        )

    @property
    def worker_pid(self) -> int | None:
        """The worker's process id, None while there is no worker."""
        return self._process.pid if self._process else None

    @property
    def _statistics(self) -> Statistics:
        ended, current = self._ended_statistics, self._worker_statistics
        return Statistics(
            denoiser_calls=ended.denoiser_calls + current.denoiser_calls,
            denoiser_rows=ended.denoiser_rows + current.denoiser_rows,
        )

    async def __aenter__(self) -> Self:
        self._supervisor = asyncio.create_task(self._supervise(), name="inference supervisor")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._supervisor is not None
        self._stopping = True
        self._fail_pending(ServiceStopped("The service is stopping; the request did not finish."))
        if self._process is not None and self._status.state is ServiceState.READY:
            self._process.send(Stop())
            await asyncio.wait({self._supervisor}, timeout=STOP_SECONDS)
        self._supervisor.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._supervisor

    async def wait_ready(self) -> None:
        """Return when requests are served.

        Raises:
            ModelUnavailable: the service has failed.
        """
        while self._status.state is not ServiceState.READY:
            if self._failure is not None:
                raise self._failure
            await self._status_changed.wait()

    async def wait_failed(self) -> None:
        """Wait until the service has failed, then raise the reason.

        Raises:
            ModelUnavailable: always.
        """
        while self._failure is None:
            await self._status_changed.wait()
        raise self._failure

    async def generate(
        self,
        request: Img2ImgRequest,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> Img2ImgResult:
        """Run one request; see `inference.service.InferenceService.generate`."""
        if self._stopping:
            raise ServiceStopped("The service is stopping.")
        if self._failure is not None:
            raise self._failure
        pending = _Pending(request, on_progress, asyncio.get_running_loop().create_future())
        self._pending[request.id] = pending
        if self._status.state is ServiceState.READY:
            self._submit(pending)
        try:
            return await pending.future
        except BaseException:
            if self._process is not None:
                self._process.send(Cancel(request.id))
            raise
        finally:
            self._pending.pop(request.id, None)
            if not self._pending and not self._loading:
                self._reset_watchdog()

    async def _supervise(self) -> None:
        while not self._stopping:
            try:
                reason = await self._run_worker()
            except OSError as error:
                reason = f"no process could be started ({error.strerror})"
            if self._stopping:
                return
            if isinstance(reason, ModelUnavailable):
                self._fail(reason)
                return
            self._consecutive_deaths += 1
            log.error("the worker process ended: %s", reason)
            for pending in [each for each in self._pending.values() if each.started]:
                self._resolve(pending, WorkerDied("The model stopped while it ran this request."))
            if self._consecutive_deaths >= MAX_CONSECUTIVE_DEATHS:
                self._fail(
                    WorkerFailed(
                        f"The worker process ended {self._consecutive_deaths} times in a row, "
                        f"the last time because {reason}."
                    )
                )
                return
            self._restarts += 1
            self._ended_statistics = self._statistics
            self._worker_statistics = Statistics()
            self._set_status(ServiceState.RESTARTING, "restarting the model")

    async def _run_worker(self) -> ModelUnavailable | str:
        """Run one worker process until it ends; the reason why it ended."""
        process = await WorkerProcess.start(self._config)
        self._process = process
        reason: ModelUnavailable | str | None = None
        try:
            async with asyncio.timeout(None) as self._watchdog:
                self._start_phase()
                self._reset_watchdog()
                while (message := await process.receive()) is not None:
                    match message:
                        case LoadFailed(error=error):
                            reason = error
                        case WorkerFault(reason=fault):
                            reason = f"it reported {fault}"
                            break
                        case _:
                            self._handle(message)
                    self._reset_watchdog()
        except TimeoutError:
            reason = self._hang_reason()
        finally:
            self._process = self._watchdog = None
            exit_reason = await asyncio.shield(process.close())
        return reason or exit_reason

    @property
    def _deadline(self) -> float:
        return self._step_deadline or STEP_DEADLINE.get(self._status.device, 600.0)

    def _start_phase(self) -> None:
        self._loading = True
        self._phase_end = asyncio.get_running_loop().time() + LOAD_PHASE_SECONDS

    def _reset_watchdog(self) -> None:
        """Kill the worker if, from now on, it is silent for too long. An idle worker may be."""
        if self._watchdog is None or self._watchdog.expired():
            return
        now = asyncio.get_running_loop().time()
        when: float | None = None
        if self._loading:
            when = min(now + self._load_deadline, self._phase_end)
        elif self._pending:
            when = now + self._deadline
        self._watchdog.reschedule(when)

    def _hang_reason(self) -> str:
        if not self._loading:
            return f"it took no step for {self._deadline:.0f} seconds"
        if asyncio.get_running_loop().time() >= self._phase_end:
            return f"{self._status.detail} took more than {LOAD_PHASE_SECONDS / 60:.0f} minutes"
        return f"it did nothing for {self._load_deadline:.0f} seconds while {self._status.detail}"

    def _submit(self, pending: _Pending) -> None:
        assert self._process is not None
        self._process.send(Submit(pending.request))
        if self._watchdog is not None and self._watchdog.when() is None:
            self._reset_watchdog()

    def _handle(self, message: object) -> None:
        match message:
            case Statistics():
                self._worker_statistics = message
            case Loading(detail=detail, download=download):
                self._start_phase()
                self._report_loading(detail, download)
            case Capacity(slots=slots, detail=detail):
                self._status = replace(self._status, slots=slots, detail=detail)
            case Ready(slots=slots, device=device, dtype=dtype):
                self._set_status(
                    ServiceState.READY, "ready", slots=slots, device=device, dtype=dtype
                )
                self._loading = False
                for waiting in self._pending.values():
                    self._submit(waiting)
            case Started(id=id_) | Progress(id=id_) | Img2ImgResult(id=id_) | Failed(id=id_):
                pending = self._pending.get(id_)
                if pending is not None and not pending.future.done():
                    self._handle_pending(pending, message)

    def _report_loading(self, detail: str, download: DownloadProgress | None) -> None:
        if download is not None:
            detail = f"{detail}: {download}"
        now = asyncio.get_running_loop().time()
        if download is None:
            log.debug("%s", detail)
        elif now - self._download_logged >= DOWNLOAD_LOG_SECONDS:
            self._download_logged = now
            log.info("%s", detail)
        self._set_status(self._status.state, detail, download=download)

    def _handle_pending(
        self, pending: _Pending, message: Started | Progress | Img2ImgResult | Failed
    ) -> None:
        match message:
            case Started():
                pending.started = True
            case Progress():
                if pending.on_progress is not None:
                    try:
                        pending.on_progress(message)
                    except Exception as error:  # noqa: BLE001 - raised to the caller, whose it is
                        self._resolve(pending, error)
            case Img2ImgResult():
                self._consecutive_deaths = 0
                self._resolve(pending, message)
            case Failed(error=error):
                self._resolve(pending, error)

    def _resolve(self, pending: _Pending, outcome: Img2ImgResult | Exception) -> None:
        if pending.future.done():
            return
        if isinstance(outcome, Exception):
            pending.future.set_exception(outcome)
        else:
            pending.future.set_result(outcome)

    def _fail(self, error: ModelUnavailable) -> None:
        log.critical("%s", error)
        self._failure = error
        self._set_status(ServiceState.FAILED, str(error))
        self._fail_pending(error)

    def _fail_pending(self, error: InferenceError) -> None:
        for pending in self._pending.values():
            self._resolve(pending, error)

    def _set_status(self, state: ServiceState, detail: str, **fields: Any) -> None:
        self._status = ServiceStatus(state=state, detail=detail, **fields)
        # Each change has an event of its own: waiting tasks wake up once per change.
        self._status_changed.set()
        self._status_changed = asyncio.Event()
