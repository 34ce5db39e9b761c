"""Ray clusters for tests: services with fake engines, and the processes that Ray runs."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from pathlib import Path

import psutil

from inference import FleetConfig, RayService, ReplicaSnapshot, ServiceState

ROOT = Path(__file__).parents[3]
FAKE_ENGINE = "tests.support.faults:slow_engine"
# Ray's workers import the tests' fake engine. With Ray's own niceness, 15, they would hardly run
# beside other tests.
ENVIRONMENT = {"PYTHONPATH": str(ROOT), "RAY_worker_niceness": "0"}
# On an idle machine of two cores a fleet is ready within 30 s (docs/fleet.md), on a busy one later.
READY_SECONDS = 360.0
# Some of Ray's agents run for over a minute after the end of their cluster.
LEFT_SECONDS = 120.0
# Limit for a state that an idle machine reaches within seconds.
STATE_SECONDS = 60.0


def fleet_service(folder: Path, **options: object) -> RayService:
    """A service with two replicas of the fake engine, unless the options say otherwise."""
    return RayService(
        **{  # type: ignore[arg-type]
            "model": "noise",
            "fleet": FleetConfig(min_replicas=2, step_deadline=10.0),
            "replica_factory": FAKE_ENGINE,
            "cache_dir": folder,
            "environment": ENVIRONMENT,
            **options,
        }
    )


async def until_ready(service: RayService, replicas: int) -> None:
    """Wait until at least so many replicas serve requests."""
    while sum(one.state is ServiceState.READY for one in service.status.replicas) < replicas:  # noqa: ASYNC110
        await asyncio.sleep(0.2)


async def until_reported(service: RayService, reports: int) -> None:
    """Wait for so many further reports of the replicas.

    The first one may have been on its way already. All of the second one is newer than this call.
    """
    async with asyncio.timeout(READY_SECONDS):
        for _ in range(reports):
            old = service.status.replicas
            # Without a replica, each report is the same empty tuple.
            while service.status.replicas is old:  # noqa: ASYNC110
                await asyncio.sleep(0.05)


async def until_running(service: RayService, requests: int) -> None:
    """Wait until two replicas report, and have so many requests together."""
    async with asyncio.timeout(STATE_SECONDS):
        while True:
            running = [replica.running for replica in service.status.replicas]
            if len(running) == 2 and sum(running) == requests:
                return
            await asyncio.sleep(0.05)


async def until_idle(service: RayService) -> None:
    """Wait until two replicas report, and have no request."""
    await until_reported(service, 2)
    await until_running(service, 0)


def restarts(service: RayService) -> int:
    """How many workers of the present replicas were replaced."""
    return sum(replica.restarts for replica in service.status.replicas)


async def until_restarted(service: RayService, before: int) -> None:
    """Wait until a worker was replaced since `before`, and both replicas serve requests."""
    async with asyncio.timeout(READY_SECONDS):
        while restarts(service) <= before:  # noqa: ASYNC110
            await asyncio.sleep(0.2)
        await until_ready(service, 2)


def processes_with(text: str) -> list[psutil.Process]:
    """The processes with this text in their command lines."""
    return [p for p in psutil.process_iter(["cmdline"]) if text in _command(p)]


def replica_processes() -> list[psutil.Process]:
    """The actors' processes, by the title that Ray gives them."""
    return processes_with("ServeReplica")


def process_id(replica: ReplicaSnapshot) -> int:
    """The process id of the replica's actor, which is part of its name."""
    return int(replica.name.rpartition(":")[2])


def processes_of_ray() -> set[int]:
    """The ids of all processes of all Ray clusters on this machine."""
    found = set()
    for process in psutil.process_iter(["cmdline"]):
        command = _command(process)
        # A fork server of other tests has a folder of Ray's in its search path.
        ray = "/ray/" in command and "forkserver" not in command
        if ray or command.startswith("ray::"):
            found.add(process.pid)
    return found


async def left_of_ray(before: set[int], seconds: float) -> set[int]:
    """Ray's processes besides those of `before` that are still alive after so many seconds."""
    end = time.monotonic() + seconds
    while (left := processes_of_ray() - before) and time.monotonic() < end:  # noqa: ASYNC110
        await asyncio.sleep(0.5)
    return left


def head_port() -> int:
    """A port for a cluster's head that no program uses.

    Above the ports of Ray's workers and below those that Linux gives to connections: while a head
    is restarted, none of them takes its port.
    """
    for port in range(20_000, 30_000):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("", port))
            return port
    raise OSError("no port is free")


def _command(process: psutil.Process) -> str:
    return " ".join(process.info["cmdline"] or ()) if hasattr(process, "info") else ""
