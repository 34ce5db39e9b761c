"""One replica: a Ray actor that supervises a worker process with the engine in it."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

import psutil

from inference.errors import InferenceError, ModelUnavailable, WorkerFailed
from inference.service import ModelState, ServiceState, ServiceStatus
from inference.types import ImageRequest, ImageResult, Preview, Progress
from inference.worker.local import LocalService
from inference.worker.messages import Failed

DEMAND_SECONDS = 10.0
"""How long the bot's last report of its oldest request counts; it reports every second."""

PROGRESS_SECONDS = 1.0
"""The least time between two reports of a request's steps. Each report costs the driver about a
millisecond of its one thread, a GPU runs hundreds of steps a second, and the bot edits a message
about once a second."""

MEASURED_RESULTS = 16
"""How many of the newest results count for the mean duration of a step."""

ReplicaEvent = Progress | ImageResult | Failed


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaStatus:
    """A snapshot of a replica. `failure` is set if none of its models can be loaded there.

    `models` are those in memory. `step_seconds` is the mean duration of a step in its newest
    results, 0 before the first one.
    """

    name: str
    release: str
    service: ServiceStatus
    models: tuple[str, ...] = ()
    running: int = 0
    step_seconds: float = 0.0
    resident_bytes: int = 0
    failure: ModelUnavailable | None = None


class ProgressReports:
    """Passes on a request's first step, and others at intervals. A preview that comes in between is
    part of the next report."""

    def __init__(self, send: Callable[[Progress], None]) -> None:
        self._send = send
        self._preview: Preview | None = None
        self._next_at = 0.0

    def add(self, step: Progress) -> None:
        """A step was taken."""
        self._preview = step.preview or self._preview
        now = time.monotonic()
        if now >= self._next_at:
            self._next_at = now + PROGRESS_SECONDS
            self._send(replace(step, preview=self._preview))
            self._preview = None


class Replica:
    """The deployment's class. `options` are `LocalService`'s arguments; `release` is their name.

    The constructor returns while the model is loading, so that the status can be asked for.
    """

    async def __init__(self, options: dict[str, Any], release: str) -> None:  # type: ignore[misc]
        self._release = release
        self._failure: ModelUnavailable | None = None
        self._running = 0
        self._oldest_wait = self._reported_at = 0.0
        self._start_seconds = 0.0
        self._step_seconds: deque[float] = deque(maxlen=MEASURED_RESULTS)
        self._service = LocalService(**options)
        await self._service.__aenter__()
        self._watch = asyncio.create_task(self._watch_state())

    async def generate(
        self, request: ImageRequest, seconds_left: float | None
    ) -> AsyncIterator[ReplicaEvent]:
        """Run one request; the last event is its result or failure. The first step is reported, and
        others at intervals of `PROGRESS_SECONDS` at least.

        `seconds_left` until the deadline replaces the request's own: clocks of two machines differ.
        Closing the iterator cancels the request.
        """
        deadline = None if seconds_left is None else time.time() + seconds_left
        events: asyncio.Queue[Progress | None] = asyncio.Queue()
        reports = ProgressReports(events.put_nowait)
        task = asyncio.create_task(
            self._service.generate(replace(request, deadline=deadline), reports.add)
        )
        task.add_done_callback(lambda _: events.put_nowait(None))
        self._running += 1
        try:
            while (event := await events.get()) is not None:
                yield event
            yield self._outcome(request, task)
        finally:
            self._running -= 1
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def _outcome(self, request: ImageRequest, task: asyncio.Task[ImageResult]) -> ReplicaEvent:
        try:
            result = task.result()
        except InferenceError as error:
            return Failed(request.id, error)
        if result.steps_run:
            self._step_seconds.append(result.timings.steps / result.steps_run)
        return result

    async def status(self, oldest_wait: float = 0.0) -> ReplicaStatus:
        """The state of the replica. `oldest_wait` is how long the bot's oldest request has waited,
        in seconds."""
        self._oldest_wait, self._reported_at = oldest_wait, time.monotonic()
        status = self._service.status
        loaded = [
            name
            for name in self._service.model_names
            if status.model(name).state is ModelState.LOADED
        ]
        return ReplicaStatus(
            name=f"{socket.gethostname()}:{os.getpid()}",
            release=self._release,
            service=status,
            models=tuple(loaded),
            running=self._running,
            step_seconds=fmean(self._step_seconds) if self._step_seconds else 0.0,
            resident_bytes=_resident_bytes(self._service.worker_pid),
            failure=self._failure,
        )

    async def record_routing_stats(self) -> dict[str, Any]:
        """Called by Ray Serve for the router: the release, and the models by their names."""
        status = self._service.status
        models = {name: status.model(name) for name in self._service.model_names}
        if status.state is not ServiceState.READY:
            models = {n: replace(m, state=ModelState.UNLOADED) for n, m in models.items()}
        return {"release": self._release, "models": models}

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """Called by Ray Serve for `inference.fleet.autoscaling`."""
        status = self._service.status
        # A bot that was killed waits no longer.
        current = time.monotonic() - self._reported_at < DEMAND_SECONDS
        return {
            "ready": float(status.state is ServiceState.READY),
            "slots": status.slots,
            "running": self._running,
            "oldest_wait": self._oldest_wait if current else 0.0,
            "start_seconds": self._start_seconds,
        }

    async def check_health(self) -> None:
        """Called by Ray Serve, which replaces a replica that raises.

        A model that cannot be loaded would fail again, so that is reported by `status` instead.
        """
        if isinstance(self._failure, WorkerFailed):
            raise self._failure

    async def __del__(self) -> None:
        """Called by Ray Serve before the replica ends."""
        self._watch.cancel()
        await self._service.__aexit__(None, None, None)

    async def _watch_state(self) -> None:
        began = time.monotonic()
        ready = asyncio.create_task(self._service.wait_ready())
        while not ready.done():
            if self._service.status.download is not None:
                # The next start finds the files.
                began = time.monotonic()
            await asyncio.wait({ready}, timeout=1.0)
        try:
            ready.result()
            self._start_seconds = time.monotonic() - began
            await self._service.wait_failed()
        except ModelUnavailable as error:
            self._failure = error


def _resident_bytes(pid: int | None) -> int:
    try:
        return int(psutil.Process(pid).memory_info().rss) if pid else 0
    except psutil.Error:
        return 0
