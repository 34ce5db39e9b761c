"""The Ray driver: an engine that forwards each request to a replica. Runs in a child process."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import ray
from ray import serve
from ray.exceptions import RayActorError, RayError
from ray.serve.config import RequestRouterConfig
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle, DeploymentResponseGenerator

from inference.errors import InferenceError, ModelUnavailable, WorkerDied
from inference.fleet.cluster import connected
from inference.fleet.config import FleetConfig
from inference.fleet.replica import Replica, ReplicaEvent, ReplicaStatus, free_slots, snapshots
from inference.service import ServiceState
from inference.types import ImageRequest, ImageResult
from inference.worker.messages import (
    Cancel,
    Capacity,
    Command,
    Engine,
    Event,
    Failed,
    Loading,
    Ready,
    Started,
    Statistics,
    Stop,
    Submit,
    WorkerConfig,
)

log = logging.getLogger(__name__)

Report = Callable[[Event | Loading | Capacity], None]

STATUS_SECONDS = 1.0
CONNECT_SECONDS = 5.0
# Without any report for so long the driver gives up, and its supervisor starts another.
LOST_SECONDS = 60.0
# A replica holds more requests than its batch has slots, so that the next one is at hand.
MAX_REQUESTS_PER_REPLICA = 64
# Requests beyond the sum of the slots that may be under way.
EXTRA_REQUESTS_SHARE = 0.1
# A request that no replica has started yet is sent again this many times.
MAX_SENDS = 3
ROUTER: dict[str, Any] = {
    "request_router_class": "inference.fleet.router.FleetRouter",
    "request_routing_stats_period_s": 2.0,
}


def build_engine(config: WorkerConfig, report: Report) -> tuple[Engine, Ready]:
    """Join the cluster, deploy the replicas and wait until one of them serves requests.

    Raises:
        ModelUnavailable: no replica can load the model.
    """
    fleet: FleetConfig = config.factory_options["fleet"]
    stack = contextlib.ExitStack()
    try:
        _connect(stack, fleet.address, report)
        handle = _deploy(config, fleet)
        statuses = _wait_ready(handle, report)
    except BaseException:
        stack.close()
        raise
    service = next(s.service for s in statuses if s.service.state is ServiceState.READY)
    ready = Ready(slots=_capacity(statuses), device=service.device, dtype=service.dtype)
    return RayEngine(handle, report, stack), ready


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


def _deploy(config: WorkerConfig, fleet: FleetConfig) -> DeploymentHandle[Any]:
    options = config.factory_options
    model = options["model"]
    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    gpus = int(resources.get("GPU", 0))
    replicas = fleet.replicas(gpus)
    log.info("deploying %d replicas of %s on a cluster with %d GPUs", replicas, model, gpus)
    deployment = serve.deployment(
        num_replicas=replicas,
        max_ongoing_requests=MAX_REQUESTS_PER_REPLICA,
        ray_actor_options={"num_gpus": 1} if gpus else {"num_cpus": fleet.replica_cpus},
        request_router_config=RequestRouterConfig(**ROUTER),
        health_check_period_s=2,
        health_check_timeout_s=30,
        graceful_shutdown_timeout_s=10,
    )(Replica)
    arguments = {
        "model": model,
        "device": config.device,
        "dtype": config.dtype,
        "batch_rows": config.batch_rows,
        "cache_dir": config.cache_dir,
        "factory": options["replica_factory"],
        "environment": dict(config.environment),
        "step_deadline": fleet.step_deadline,
    }
    return serve.run(
        deployment.bind(arguments), name=f"redraw-{config.entry.name}", route_prefix=None
    )


def _wait_ready(handle: DeploymentHandle[Any], report: Report) -> list[ReplicaStatus]:
    while True:
        statuses: list[ReplicaStatus] = handle.broadcast("status").results(
            timeout_s=CONNECT_SECONDS
        )
        if any(status.service.state is ServiceState.READY for status in statuses):
            return statuses
        failures = [status.failure for status in statuses if status.failure]
        if failures and len(failures) == len(statuses):
            raise failures[0]
        detail = statuses[0].service.detail if statuses else "starting the replicas"
        report(Loading(detail))
        time.sleep(STATUS_SECONDS)


def _capacity(statuses: list[ReplicaStatus]) -> int:
    slots = free_slots(statuses)
    return slots + max(1, round(EXTRA_REQUESTS_SHARE * slots)) if slots else 1


class RayEngine:
    """Serves requests until a `Stop` arrives. `stack` is closed then: it leaves the cluster."""

    def __init__(
        self, handle: DeploymentHandle[Any], report: Report, stack: contextlib.ExitStack
    ) -> None:
        self._handle = handle
        self._report = report
        self._stack = stack
        self._loop = asyncio.new_event_loop()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._stopped = asyncio.Event()

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
        response = stream.generate.remote(replace(request, deadline=None), left)
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
        slots = 1
        answered_at = self._loop.time()
        while True:
            await asyncio.sleep(STATUS_SECONDS)
            response = self._handle.broadcast("status")
            try:
                statuses = await asyncio.to_thread(response.results, timeout_s=CONNECT_SECONDS)
            except (RayError, RayServeException, TimeoutError) as error:
                # One of the replicas was lost, or all.
                if self._loop.time() - answered_at > LOST_SECONDS:
                    raise
                log.info("the replicas did not report: %s", type(error).__name__)
                self._report(Capacity(slots=slots, detail="waiting for a replica"))
                continue
            answered_at = self._loop.time()
            failures = [status.failure for status in statuses if status.failure]
            if failures and len(failures) == len(statuses):
                raise ModelUnavailable(str(failures[0]))
            serving = sum(s.service.state is ServiceState.READY for s in statuses)
            detail = "ready" if serving else "waiting for a replica"
            slots = _capacity(statuses)
            replicas = snapshots(statuses)
            self._report(Capacity(slots=slots, detail=detail, replicas=replicas))
            self._report(
                Statistics(
                    denoiser_calls=sum(replica.denoiser_calls for replica in replicas),
                    denoiser_rows=sum(replica.denoiser_rows for replica in replicas),
                )
            )
