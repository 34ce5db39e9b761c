"""Starts, watches and replaces one worker process, and exchanges requests with it.

A worker that ends, reports a device fault, or sends no message for too long is killed and replaced.
Requests that it had not started are sent to the next worker. Requests that it had started fail with
`WorkerDied`; the caller decides whether to try them again. After three deaths without a finished
request in between, the service fails for good. A death while one of several models was being
loaded does not count: the next worker leaves that model out for some minutes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import replace
from types import TracebackType
from typing import Self

from inference.errors import (
    InferenceError,
    ModelNotConfigured,
    ModelNotLoaded,
    ModelUnavailable,
    ServiceStopped,
    WorkerDied,
    WorkerFailed,
)
from inference.service import ServiceState, ServiceStatus
from inference.types import ImageRequest, ImageResult, Progress
from inference.worker.excluded import ExcludedModels
from inference.worker.messages import (
    Active,
    Cancel,
    Capacity,
    Failed,
    LoadFailed,
    Loading,
    ModelStates,
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
from inference.worker.status import StatusKeeper
from inference.worker.watchdog import LOAD_SILENCE_SECONDS, Watchdog

log = logging.getLogger(__name__)

MAX_CONSECUTIVE_DEATHS = 3
STOP_SECONDS = 5.0


class WorkerSupervisor:
    """An `InferenceService` that runs all requests in one worker process at a time.

    `step_deadline` is the number of seconds without a message, while requests run, after which the
    worker counts as hung; None depends on the device. `load_deadline` is the same while it loads a
    model. `model_names` has the default model first. Leaving the block takes ten seconds at most.
    """

    def __init__(
        self,
        config: WorkerConfig,
        *,
        step_deadline: float | None = None,
        load_deadline: float = LOAD_SILENCE_SECONDS,
    ) -> None:
        self._config = config
        self._step_deadline = step_deadline
        self._load_deadline = load_deadline
        self._pending: dict[str, PendingRequest] = {}
        self.model_names = tuple(entry.name for entry in (config.entry, *config.others))
        self._status, self._excluded = StatusKeeper(self.model_names), ExcludedModels()
        self._failure: ModelUnavailable | None = None
        self._process: WorkerProcess | None = None
        # Whether the process takes requests: it has sent `Ready`.
        self._accepts_requests = False
        self._watchdog: Watchdog | None = None
        self._consecutive_deaths = 0
        self._stopping = False
        self._supervisor: asyncio.Task[None] | None = None

    @property
    def status(self) -> ServiceStatus:
        """The current state; never blocks."""
        return self._status.snapshot(self.worker_pid)

    @property
    def worker_pid(self) -> int | None:
        """The worker's process id, None while there is no worker."""
        return self._process.pid if self._process else None

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
        if self._process is not None and self._accepts_requests:
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
            await self._status.changed.wait()

    async def wait_failed(self) -> None:
        """Wait until the service has failed, then raise the reason.

        Raises:
            ModelUnavailable: always.
        """
        while self._failure is None:
            await self._status.changed.wait()
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
        if request.model and request.model not in self.model_names:
            raise ModelNotConfigured(f"The model {request.model} is not one of this service's.")
        pending = PendingRequest(request, on_progress, asyncio.get_running_loop().create_future())
        self._pending[request.id] = pending
        if self._accepts_requests:
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

    def report_demand(self, oldest_wait: float) -> None:
        """See `InferenceService.report_demand`: there is nothing to adjust."""

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
            log.error("the worker process ended: %s", reason)
            for pending in [each for each in self._pending.values() if each.started]:
                pending.resolve(WorkerDied("The model stopped while it ran this request."))
            if not self._exclude_loading_model(reason):
                self._consecutive_deaths += 1
            if self._consecutive_deaths >= MAX_CONSECUTIVE_DEATHS:
                text = f"The worker process ended {self._consecutive_deaths} times in a row"
                self._fail(WorkerFailed(f"{text}, the last time because {reason}."))
                return
            self._status.worker_restarts()

    async def _run_worker(self) -> ModelUnavailable | str:
        """Run one worker process until it ends; the reason why it ended."""
        config = replace(self._config, excluded=self._excluded.current())
        process = await WorkerProcess.start(config)
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
                    if watchdog.loading or not isinstance(message, Active):
                        watchdog.reset(busy=bool(self._pending))
        except TimeoutError:
            reason = watchdog.reason
        finally:
            self._process = self._watchdog = None
            self._accepts_requests = False
            exit_reason = await asyncio.shield(process.close())
        return reason or exit_reason

    def _submit(self, pending: PendingRequest) -> None:
        assert self._process is not None
        self._process.send(Submit(pending.request))
        if self._watchdog is not None:
            self._watchdog.request_added()

    def _handle(self, message: object, watchdog: Watchdog) -> None:
        match message:
            case Statistics() | Capacity():
                self._status.apply(message)
            case Loading(detail=detail):
                watchdog.start_phase(detail)
                self._status.apply(message)
            case ModelStates():
                self._status.apply(message)
                if (name := self._status.loading_model) is not None:
                    watchdog.start_phase(f"loading {name}")
                elif self._accepts_requests:
                    watchdog.end_loading()
            case Ready(device=device):
                self._accepts_requests = True
                self._status.apply(message)
                watchdog.end_loading(device)
                for waiting in self._pending.values():
                    self._submit(waiting)
            case Started(id=id_) | Progress(id=id_) | ImageResult(id=id_) | Failed(id=id_):
                if isinstance(message, ImageResult):
                    self._consecutive_deaths = 0
                if (pending := self._pending.get(id_)) is not None:
                    pending.handle(message)

    def _exclude_loading_model(self, reason: str) -> bool:
        """Exclude the one of several models that the worker loaded when it ended, because the next
        worker would end, too. Returns whether that worker has another model to load."""
        if (name := self._status.loading_model) is None:
            return False
        self._excluded.add(name, f"{reason}.")
        self._fail_pending(ModelNotLoaded(f"{name} cannot be loaded: {reason}."), model=name)
        return len(self._excluded.current()) < len(self.model_names)

    def _fail(self, error: ModelUnavailable) -> None:
        log.critical("%s", error)
        self._failure = error
        self._status.set_state(ServiceState.FAILED, str(error))
        self._fail_pending(error)

    def _fail_pending(self, error: InferenceError, model: str = "") -> None:
        for pending in self._pending.values():
            if not model or (pending.request.model or self.model_names[0]) == model:
                pending.resolve(error)
