"""A head and three workers, started as docs/fleet.md says, as four nodes on this machine.

Takes minutes: `pytest -m "ray and slow"`. At its end it stops every Ray cluster of this machine.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from inference import FleetConfig, ImageResult, RayService, WorkerDied
from tests.support.processes.ray_cluster import (
    ENVIRONMENT,
    LEFT_SECONDS,
    READY_SECONDS,
    fleet_service,
    head_port,
    left_of_ray,
    process_id,
    processes_of_ray,
    replica_processes,
    until_ready,
)
from tests.support.requests import request

pytest.importorskip("ray")
pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(900)]

WORKERS = 3
REQUESTS = 24


def ray(*arguments: str, **environment: str) -> None:
    """Run Ray's command."""
    command = [str(Path(sys.executable).parent / "ray"), *arguments]
    subprocess.run(
        command, env=os.environ | ENVIRONMENT | environment, check=True, capture_output=True
    )


def start_worker(port: int) -> None:
    """A node with one GPU, of which Ray knows the number only: it needs no driver."""
    options = ("--num-cpus=1", "--num-gpus=1")
    ray("start", f"--address=127.0.0.1:{port}", *options, RAY_AUTH_MODE="token")


@contextmanager
def nodes(port: int) -> Iterator[None]:
    """The head, which has no GPU, and the workers."""
    ray("get-auth-token", "--generate")
    options = ("--include-dashboard=false", "--disable-usage-stats", "--num-cpus=1", "--num-gpus=0")
    ray("start", "--head", f"--port={port}", *options)
    try:
        for _ in range(WORKERS):
            start_worker(port)
        yield
    finally:
        ray("stop", "--force")


def node_of(replica: psutil.Process) -> psutil.Process:
    """The replica's node: its raylet is the parent of the node's actors."""
    raylet = replica.parent()
    assert raylet is not None
    return raylet


def visible_gpus(replica: psutil.Process) -> set[str]:
    """What Ray tells the replica's worker process about its GPU."""
    return {child.environ()["CUDA_VISIBLE_DEVICES"] for child in replica.children()}


async def until_stepping(service: RayService, replica: psutil.Process) -> None:
    """Wait until the replica has reported a step."""
    while not any(  # noqa: ASYNC110
        each.denoiser_calls and process_id(each) == replica.pid for each in service.status.replicas
    ):
        await asyncio.sleep(0.05)


async def test_each_worker_runs_one_replica_and_a_lost_node_costs_only_its_requests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Ray keeps the cluster's token there.
    monkeypatch.setenv("HOME", str(tmp_path))
    before = processes_of_ray()
    port = head_port()
    fleet = FleetConfig(address=f"127.0.0.1:{port}")
    with nodes(port):
        async with fleet_service(tmp_path, fleet=fleet) as service:
            async with asyncio.timeout(READY_SECONDS):
                await service.wait_ready()
                await until_ready(service, WORKERS)
            replicas = replica_processes()
            assert len({node_of(replica).pid for replica in replicas}) == WORKERS == len(replicas)
            assert [visible_gpus(replica) for replica in replicas] == [{"0"}] * WORKERS

            wanted = [request(id=f"r{n}", seed=n, steps=100) for n in range(REQUESTS)]
            running = [asyncio.create_task(service.generate(one)) for one in wanted]
            async with asyncio.timeout(READY_SECONDS):
                await until_stepping(service, replicas[0])
            lost = node_of(replicas[0])
            for process in (*lost.children(recursive=True), lost):
                process.kill()
            outcomes = await asyncio.gather(*running, return_exceptions=True)
            made = [n for n, outcome in enumerate(outcomes) if isinstance(outcome, ImageResult)]
            assert all(isinstance(outcomes[n], ImageResult | WorkerDied) for n in range(REQUESTS))
            assert REQUESTS // 2 <= len(made) < REQUESTS
            for n in made:
                assert set(outcomes[n].pixels) == {n + 1}  # type: ignore[union-attr]

            # The bot tries the others once more; two replicas are left.
            again = [
                service.generate(request(id=f"a{n}", seed=n, steps=4))
                for n in range(REQUESTS)
                if n not in made
            ]
            async with asyncio.timeout(READY_SECONDS):
                assert len(await asyncio.gather(*again)) == REQUESTS - len(made)
                await asyncio.to_thread(start_worker, port)
                await until_ready(service, WORKERS)
            assert len({node_of(replica).pid for replica in replica_processes()}) == WORKERS
        # The bot has not started the cluster: it removes its replicas only.
        async with asyncio.timeout(READY_SECONDS):
            while replica_processes():  # noqa: ASYNC110
                await asyncio.sleep(0.5)
        assert processes_of_ray() - before
    assert await left_of_ray(before, LEFT_SECONDS) == set()
