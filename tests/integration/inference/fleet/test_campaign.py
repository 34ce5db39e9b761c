"""Faults of a fleet under load: replicas and the cluster's head are killed, engines hang.

Takes several minutes: `pytest -m "ray and slow"`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from inference import FleetConfig, ImageResult, RayService, ServiceState, WorkerDied
from tests.support.faults import FIRST_COLOURS
from tests.support.processes.ray_cluster import (
    ENVIRONMENT,
    LEFT_SECONDS,
    READY_SECONDS,
    ROOT,
    fleet_service,
    head_port,
    left_of_ray,
    processes_of_ray,
    replica_processes,
    until_ready,
)
from tests.support.requests import request

pytest.importorskip("ray")
pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(900)]

KILLS, HANGS = 10, 3
# As `bot.runner.attempt.MAX_ATTEMPTS`.
ATTEMPTS = 2


@asynccontextmanager
async def ready_fleet(folder: Path, replicas: int, **options: object) -> AsyncIterator[RayService]:
    async with fleet_service(folder, **options) as service:
        async with asyncio.timeout(READY_SECONDS):
            await service.wait_ready()
            await until_ready(service, replicas)
        yield service


async def answer(
    service: RayService, id_: str, seed: int, attempts: int = ATTEMPTS, **options: object
) -> ImageResult:
    """The result of a request, tried again after a lost worker, as the bot does.

    Raises:
        WorkerDied: by the last attempt; the bot then tells the user.
    """
    for attempt in range(1, attempts):
        with contextlib.suppress(WorkerDied):
            return await service.generate(
                request(id=f"{id_}-{attempt}", seed=seed, **options)  # type: ignore[arg-type]
            )
    return await service.generate(request(id=f"{id_}-{attempts}", seed=seed, **options))  # type: ignore[arg-type]


async def test_every_request_is_answered_through_kills_and_hangs(tmp_path: Path) -> None:
    rng = random.Random(7)
    before = processes_of_ray()
    answers: Counter[str] = Counter()
    lost: set[str] = set()
    stopping = asyncio.Event()

    async def user(service: RayService, number: int) -> None:
        turn = 0
        while not stopping.is_set():
            id_, seed = f"u{number}-{turn}", number * 1000 + turn
            try:
                result = await answer(service, id_, seed, steps=20)
                assert set(result.pixels) == {seed % 255 + 1}, "not the picture of this request"
            except WorkerDied:
                lost.add(id_)
            answers[id_] += 1
            turn += 1

    fleet = FleetConfig(min_replicas=2, step_deadline=3.0)
    async with ready_fleet(tmp_path, 2, fleet=fleet) as service, asyncio.TaskGroup() as users:
        for number in range(10):
            users.create_task(user(service, number))
        for number in range(KILLS):
            await asyncio.sleep(rng.uniform(2, 6))
            rng.choice(replica_processes()).kill()
            # The next kill meets one replica or both, in turn.
            async with asyncio.timeout(READY_SECONDS):
                await until_ready(service, 1 + number % 2)
        for number in range(HANGS):
            async with asyncio.timeout(READY_SECONDS):
                await until_ready(service, 2)
            with pytest.raises(WorkerDied):
                await service.generate(request(id=f"hang{number}", prompt="hang", steps=20))
        stopping.set()
    print(f"{len(answers)} requests, {len(lost)} lost twice, {KILLS} kills, {HANGS} hangs")
    assert len(answers) - len(lost) > 100
    assert set(answers.values()) == {1}
    assert await left_of_ray(before, LEFT_SECONDS) == set()


@contextmanager
def running_head(port: int) -> Iterator[None]:
    """A Ray cluster of this machine alone, started as docs/fleet.md says."""
    ray = str(Path(sys.executable).parent / "ray")
    start = [ray, "start", "--head", f"--port={port}", "--include-dashboard=false", "--num-cpus=4"]
    environment = os.environ | ENVIRONMENT
    subprocess.run(start, env=environment, check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run([ray, "stop", "--force"], check=True, capture_output=True)


async def test_requests_are_answered_after_the_head_is_lost(tmp_path: Path) -> None:
    before = processes_of_ray()
    port = head_port()
    fleet = FleetConfig(address=f"127.0.0.1:{port}", min_replicas=2)
    async with fleet_service(tmp_path, fleet=fleet) as service:
        # The cluster may start after the bot.
        with running_head(port):
            async with asyncio.timeout(READY_SECONDS):
                await service.wait_ready()
                await until_ready(service, 2)
            running = [
                asyncio.create_task(answer(service, f"r{n}", n, 9, steps=200)) for n in range(8)
            ]
            await asyncio.sleep(3)
        assert not any(task.done() for task in running)
        waiting = asyncio.create_task(answer(service, "w", 8, 9, steps=2))
        with running_head(port):
            async with asyncio.timeout(READY_SECONDS):
                results = await asyncio.gather(*running, waiting)
            assert [set(one.pixels) for one in results] == [{n + 1} for n in range(9)]
            assert service.status.state is ServiceState.READY
    assert await left_of_ray(before, LEFT_SECONDS) == set()


BOT = """
import asyncio, sys
from pathlib import Path
from inference import FleetConfig
from tests.support.processes.ray_cluster import fleet_service, until_ready

async def main():
    fleet = FleetConfig(address=sys.argv[2] or None, min_replicas=2)
    async with fleet_service(Path(sys.argv[1]), fleet=fleet) as service:
        await service.wait_ready()
        await until_ready(service, 2)
        print("ready", flush=True)
        await asyncio.sleep(3600)

asyncio.run(main())
"""


async def kill_bot(folder: Path, address: str = "") -> None:
    """Start a process with a fleet of two replicas and kill it once both are ready."""
    bot = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", BOT, str(folder), address),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    assert bot.stdout is not None
    async with asyncio.timeout(READY_SECONDS):
        assert await bot.stdout.readline() == b"ready\n"
    bot.send_signal(signal.SIGKILL)
    await bot.wait()


async def test_no_process_of_the_cluster_remains_after_a_killed_bot(tmp_path: Path) -> None:
    before = processes_of_ray()
    await kill_bot(tmp_path)
    assert await left_of_ray(before, LEFT_SECONDS) == set()


async def test_a_change_of_the_model_refuses_no_request(tmp_path: Path) -> None:
    """The cluster goes on. The second bot has another model than the killed one; its requests wait
    or run while the earlier replicas are replaced, one after the other."""
    port = head_port()
    address = f"127.0.0.1:{port}"
    fleet = FleetConfig(address=address, min_replicas=2)
    pocket: dict[str, object] = {
        "model": "pocket",
        "replica_factory": "tests.support.faults:several_models",
    }
    answers: list[asyncio.Task[ImageResult]] = []
    with running_head(port):
        await kill_bot(tmp_path, address)
        earlier = {replica.pid for replica in replica_processes()}
        assert len(earlier) == 2
        async with fleet_service(tmp_path, fleet=fleet, **pocket) as service:
            async with asyncio.timeout(READY_SECONDS):
                while earlier & (running := {each.pid for each in replica_processes()}):
                    assert running, "no replica was left"
                    wanted = request(id=f"r{len(answers)}", seed=len(answers), steps=2)
                    answers.append(asyncio.create_task(service.generate(wanted)))
                    await asyncio.sleep(0.5)
                results = await asyncio.gather(*answers)
        colours = [set(result.pixels) for result in results]
        assert colours == [{FIRST_COLOURS["pocket"] + n} for n in range(len(answers))]
        assert len(answers) > 2
        async with asyncio.timeout(60):
            while replica_processes():  # noqa: ASYNC110
                await asyncio.sleep(0.5)


async def test_the_fleet_grows_while_requests_wait(tmp_path: Path) -> None:
    fleet = FleetConfig(min_replicas=1, max_replicas=2)
    async with ready_fleet(tmp_path, 1, fleet=fleet) as service:
        service.report_demand(1000.0)
        async with asyncio.timeout(READY_SECONDS):
            await until_ready(service, 2)
        service.report_demand(0.0)
        result = await answer(service, "r", 3, steps=2)
        assert set(result.pixels) == {4}
