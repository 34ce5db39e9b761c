"""The Ray driver: an engine that forwards each request to a replica. Runs in a child process."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from typing import Any

from ray import serve
from ray.exceptions import RayActorError, RayError
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle, DeploymentResponseGenerator

from inference.errors import InferenceError, ModelUnavailable, WorkerDied
from inference.fleet.cluster import connected
from inference.fleet.config import FleetConfig
from inference.fleet.deployment import APPLICATION, deploy, release_of, statuses
from inference.fleet.replica import ReplicaEvent, ReplicaStatus
from inference.fleet.summary import FleetSummary
from inference.service import ServiceState
from inference.types import ImageRequest, ImageResult
from inference.worker.messages import (
    Cancel,
    Capacity,
    Command,
    Demand,
    Engine,
    Event,
    Failed,
    Loading,
    Ready,
    Started,
    Stop,
    Submit,
    WorkerConfig,
)

log = logging.getLogger(__name__)

Report = Callable[[Event | Loading | Capacity], None]

STATUS_SECONDS = 1.0
CONNECT_SECONDS = 5.0
# Without any report for so long the driver gives up, and its supervisor starts another.
# Ray replaces a lost replica within seconds, within a minute on a busy machine.
LOST_SECONDS = 90.0
# A request that no replica has started yet is sent again this many times.
MAX_SENDS = 3


def build_engine(config: WorkerConfig, report: Report) -> tuple[Engine, Ready]:
    """Join the cluster, deploy the replicas and wait until one of them serves requests.

    Raises:
        ModelUnavailable: no replica can load a model.
    """
    fleet: FleetConfig = config.factory_options["fleet"]
    stack = contextlib.ExitStack()
    try:
        _connect(stack, fleet.address, report)
        release = release_of(config)
        handle = deploy(config, fleet, release)
        if fleet.address is not None:
            # Another cluster than the driver's own goes on.
            stack.callback(serve.delete, APPLICATION, _blocking=False)
        found = _wait_ready(handle, release, report)
    except BaseException:
        stack.close()
        raise
    service = next(s.service for s in found if s.service.state is ServiceState.READY)
    slots = FleetSummary().capacity(found).slots
    ready = Ready(slots=slots, device=service.device, dtype=service.dtype)
    return RayEngine(handle, release, config.entry.name, report, stack), ready


def _connect(stack: contextlib.ExitStack, address: str | None, report: Report) -> None:
    while True:
        try:
            stack.enter_context(connected(address))
        except ConnectionError as error:
            log.warning("no Ray cluster at %s: %s", address, error)
            report(Loading("waiting for the Ray cluster"))
            time.sleep(CONNECT_SECONDS)
        else:
            return


def _wait_ready(
    handle: DeploymentHandle[Any], release: str, report: Report
) -> Sequence[ReplicaStatus]:
    while True:
        found = statuses(handle, release)
        if any(status.service.state is ServiceState.READY for status in found):
            return found
        failures = [status.failure for status in found if status.failure]
        if failures and len(failures) == len(found):
            raise failures[0]
        report(Loading(found[0].service.detail if found else "starting the replicas"))
        time.sleep(STATUS_SECONDS)


class RayEngine:
    """Serves requests until a `Stop` arrives. `stack` is closed then: it leaves the cluster."""

    def __init__(
        self,
        handle: DeploymentHandle[Any],
        release: str,
        default_model: str,
        report: Report,
        stack: contextlib.ExitStack,
    ) -> None:
        self._handle = handle
        self._release = release
        self._default_model = default_model
        self._report = report
        self._stack = stack
        self._loop = asyncio.new_event_loop()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._stopped = asyncio.Event()
        self._oldest_wait = 0.0

    def post(self, command: Command) -> None:
        """Accept a command. May be called from any thread and never blocks."""
        self._loop.call_soon_threadsafe(self._handle_command, command)

    def run(self) -> None:
        """Serve until a `Stop` arrives. Raises when the cluster is lost."""
        with self._stack:
            self._loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        watching = asyncio.create_task(self._report_capacity())
        stopped = asyncio.create_task(self._stopped.wait())
        done, _ = await asyncio.wait({watching, stopped}, return_when=asyncio.FIRST_COMPLETED)
        running = [watching, stopped, *self._tasks.values()]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        if watching in done:
            watching.result()

    def _handle_command(self, command: Command) -> None:
        match command:
            case Submit(request=request):
                task = self._loop.create_task(self._run(request))
                self._tasks[request.id] = task
                task.add_done_callback(lambda _: self._tasks.pop(request.id, None))
            case Cancel(id=id_):
                if task_of := self._tasks.get(id_):
                    task_of.cancel()
            case Demand(oldest_wait=seconds):
                self._oldest_wait = seconds
            case Stop():
                self._stopped.set()

    async def _run(self, request: ImageRequest) -> None:
        about = {"request": request.id}
        for _ in range(MAX_SENDS):
            started = False
            try:
                async for event in self._stream(request):
                    if not started:
                        started = True
                        self._report(Started(request.id))
                    self._report(event)
                return
            except (RayActorError, RayServeException) as error:
                log.warning("a replica was lost: %s", type(error).__name__, extra=about)
                if started:
                    break
            except RayError as error:
                log.exception("the replica failed", extra=about)
                self._report(Failed(request.id, InferenceError(str(error).splitlines()[0])))
                return
        self._report(Failed(request.id, WorkerDied("The replica that ran this request was lost.")))

    async def _stream(self, request: ImageRequest) -> AsyncIterator[ReplicaEvent]:
        left = None if request.deadline is None else request.deadline - time.time()
        stream: DeploymentHandle[Any] = self._handle.options(stream=True)
        # The router compares the models of requests by their names.
        named = replace(request, deadline=None, model=request.model or self._default_model)
        response = stream.generate.remote(named, left)
        assert isinstance(response, DeploymentResponseGenerator)
        try:
            async for event in response:
                yield event
                if isinstance(event, ImageResult | Failed):
                    return
        finally:
            # Leaving the iteration does not stop the replica.
            response.cancel()  # type: ignore[no-untyped-call]

    async def _report_capacity(self) -> None:
        summary = FleetSummary()
        answered_at = self._loop.time()
        while True:
            await asyncio.sleep(STATUS_SECONDS)
            found = await asyncio.to_thread(
                statuses, self._handle, self._release, self._oldest_wait
            )
            if found:
                answered_at = self._loop.time()
            elif self._loop.time() - answered_at > LOST_SECONDS:
                raise ConnectionError(f"no replica has reported for {LOST_SECONDS:.0f} seconds")
            failures = [status.failure for status in found if status.failure]
            if failures and len(failures) == len(found):
                raise ModelUnavailable(str(failures[0]))
            self._report(summary.capacity(found))
            self._report(summary.statistics(found))
