"""One replica: a Ray actor that supervises a worker process with the engine in it."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, replace
from typing import Any

import psutil

from inference.errors import InferenceError, ModelUnavailable, WorkerFailed
from inference.service import ReplicaSnapshot, ServiceState, ServiceStatus
from inference.types import ImageRequest, ImageResult, Progress
from inference.worker.local import LocalService
from inference.worker.messages import Failed

DEMAND_SECONDS = 10.0
"""How long the bot's last report of its oldest request counts; it reports every second."""

ReplicaEvent = Progress | ImageResult | Failed


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaStatus:
    """A snapshot of a replica. `failure` is set if its model can never be loaded there."""

    name: str
    release: str
    service: ServiceStatus
    running: int = 0
    resident_bytes: int = 0
    failure: ModelUnavailable | None = None


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
        self._service = LocalService(**options)
        await self._service.__aenter__()
        self._watch = asyncio.create_task(self._watch_state())

    async def generate(
        self, request: ImageRequest, seconds_left: float | None
    ) -> AsyncIterator[ReplicaEvent]:
        """Run one request; the last event is its result or failure.

        `seconds_left` until the deadline replaces the request's own: clocks of two machines differ.
        Closing the iterator cancels the request.
        """
        deadline = None if seconds_left is None else time.time() + seconds_left
        events: asyncio.Queue[Progress | None] = asyncio.Queue()
        task = asyncio.create_task(
            self._service.generate(replace(request, deadline=deadline), events.put_nowait)
        )
        task.add_done_callback(lambda _: events.put_nowait(None))
        self._running += 1
        try:
            while (event := await events.get()) is not None:
                yield event
            try:
                outcome: ReplicaEvent = task.result()
            except InferenceError as error:
                outcome = Failed(request.id, error)
            yield outcome
        finally:
            self._running -= 1
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def status(self, oldest_wait: float = 0.0) -> ReplicaStatus:
        """The state of the replica. `oldest_wait` is how long the bot's oldest request has waited,
        in seconds."""
        self._oldest_wait, self._reported_at = oldest_wait, time.monotonic()
        return ReplicaStatus(
            name=f"{socket.gethostname()}:{os.getpid()}",
            release=self._release,
            service=self._service.status,
            running=self._running,
            resident_bytes=_resident_bytes(self._service.worker_pid),
            failure=self._failure,
        )

    async def record_routing_stats(self) -> dict[str, int | str]:
        """Called by Ray Serve for the router: how many requests fill the batch, and what runs."""
        return {"slots": self._service.status.slots, "release": self._release}

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


def snapshots(statuses: Iterable[ReplicaStatus]) -> tuple[ReplicaSnapshot, ...]:
    """The states of the replicas for the status of the whole service, in the order of their
    names."""
    return tuple(
        ReplicaSnapshot(
            name=status.name,
            state=status.service.state,
            device=status.service.device,
            slots=status.service.slots,
            running=status.running,
            restarts=status.service.restarts,
            denoiser_calls=status.service.denoiser_calls,
            denoiser_rows=status.service.denoiser_rows,
            resident_bytes=status.resident_bytes,
        )
        for status in sorted(statuses, key=lambda status: status.name)
    )


def free_slots(statuses: Iterable[ReplicaStatus]) -> int:
    """How many requests fill the batches of all replicas that serve requests."""
    return sum(
        status.service.slots for status in statuses if status.service.state is ServiceState.READY
    )
