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
from dataclasses import replace
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
from inference.types import ImageRequest, ImageResult, Progress
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
from inference.worker.pending import PendingRequest
from inference.worker.process import WorkerProcess
from inference.worker.watchdog import LOAD_SILENCE_SECONDS, Watchdog

log = logging.getLogger(__name__)

# Between two log lines about the same download.
DOWNLOAD_LOG_SECONDS = 10.0
MAX_CONSECUTIVE_DEATHS = 3
STOP_SECONDS = 5.0


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
        self._pending: dict[str, PendingRequest] = {}
        self._status = ServiceStatus(state=ServiceState.LOADING, detail="loading the model")
        self._status_changed = asyncio.Event()
        self._failure: ModelUnavailable | None = None
        self._process: WorkerProcess | None = None
        self._watchdog: Watchdog | None = None
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
        return self._ended_statistics + self._worker_statistics

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
        request: ImageRequest,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> ImageResult:
        """Run one request; see `inference.service.InferenceService.generate`."""
        if self._stopping:
            raise ServiceStopped("The service is stopping.")
        if self._failure is not None:
            raise self._failure
        pending = PendingRequest(request, on_progress, asyncio.get_running_loop().create_future())
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
            if self._watchdog is not None:
                self._watchdog.request_removed(busy=bool(self._pending))

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
                pending.resolve(WorkerDied("The model stopped while it ran this request."))
            if self._consecutive_deaths >= MAX_CONSECUTIVE_DEATHS:
                text = f"The worker process ended {self._consecutive_deaths} times in a row"
                self._fail(WorkerFailed(f"{text}, the last time because {reason}."))
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
        watchdog = Watchdog(load_seconds=self._load_deadline, step_seconds=self._step_deadline)
        try:
            async with watchdog as self._watchdog:
                while (message := await process.receive()) is not None:
                    match message:
                        case LoadFailed(error=error):
                            reason = error
                        case WorkerFault(reason=fault):
                            reason = f"it reported {fault}"
                            break
                        case _:
                            self._handle(message, watchdog)
                    watchdog.reset(busy=bool(self._pending))
        except TimeoutError:
            reason = watchdog.reason
        finally:
            self._process = self._watchdog = None
            exit_reason = await asyncio.shield(process.close())
        return reason or exit_reason

    def _submit(self, pending: PendingRequest) -> None:
        assert self._process is not None
        self._process.send(Submit(pending.request))
        if self._watchdog is not None:
            self._watchdog.request_added()

    def _handle(self, message: object, watchdog: Watchdog) -> None:
        match message:
            case Statistics():
                self._worker_statistics = message
            case Loading(detail=detail, download=download):
                watchdog.start_phase(detail)
                self._report_loading(detail, download)
            case Capacity(slots=slots, detail=detail):
                self._status = replace(self._status, slots=slots, detail=detail)
            case Ready(slots=slots, device=device, dtype=dtype):
                self._set_status(
                    ServiceState.READY, "ready", slots=slots, device=device, dtype=dtype
                )
                watchdog.end_loading(device)
                for waiting in self._pending.values():
                    self._submit(waiting)
            case Started(id=id_) | Progress(id=id_) | ImageResult(id=id_) | Failed(id=id_):
                if isinstance(message, ImageResult):
                    self._consecutive_deaths = 0
                if (pending := self._pending.get(id_)) is not None:
                    pending.handle(message)

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

    def _fail(self, error: ModelUnavailable) -> None:
        log.critical("%s", error)
        self._failure = error
        self._set_status(ServiceState.FAILED, str(error))
        self._fail_pending(error)

    def _fail_pending(self, error: InferenceError) -> None:
        for pending in self._pending.values():
            pending.resolve(error)

    def _set_status(self, state: ServiceState, detail: str, **fields: Any) -> None:
        self._status = ServiceStatus(state=state, detail=detail, **fields)
        # A new event for each change: waiting tasks wake up once.
        self._status_changed.set()
        self._status_changed = asyncio.Event()
