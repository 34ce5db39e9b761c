"""`RayService` on a real Ray cluster of two replicas on this machine, with real worker processes.

Run with `pytest -m ray`.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

from inference import (
    FleetConfig,
    ImageRequest,
    LocalService,
    Progress,
    RayService,
    ServiceState,
    WorkerDied,
)
from tests.support.processes.ray_cluster import (
    ROOT,
    fleet_service,
    processes_of_ray,
    replica_processes,
    until_ready,
)
from tests.support.requests import request

pytest.importorskip("ray")
pytestmark = [
    pytest.mark.ray,
    pytest.mark.timeout(600),
    pytest.mark.asyncio(loop_scope="module"),
]

# More steps than the test lasts.
ENDLESS = 10**9


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RayService]:
    async with fleet_service(tmp_path_factory.mktemp("cache")) as opened:
        async with asyncio.timeout(180):
            await opened.wait_ready()
            await until_ready(opened, 2)
        yield opened


async def run(service: RayService | LocalService, wanted: ImageRequest) -> tuple[bytes, list[int]]:
    steps: list[int] = []
    result = await service.generate(wanted, lambda progress: steps.append(progress.step))
    return result.pixels, steps


async def test_sixty_requests_stream_their_steps_and_give_each_its_own_picture(
    service: RayService,
) -> None:
    wanted = [request(id=f"r{n}", seed=n, steps=5) for n in range(60)]
    answers = await asyncio.gather(*(run(service, one) for one in wanted))
    assert all(steps == [1, 2, 3, 4, 5] for _, steps in answers)
    assert len({pixels for pixels, _ in answers}) == len({one.seed % 256 for one in wanted})


async def test_the_status_has_each_replica_and_what_its_engine_counts(service: RayService) -> None:
    await asyncio.gather(*(run(service, request(id=f"s{n}", steps=5)) for n in range(20)))
    async with asyncio.timeout(10):
        while not all(each.denoiser_calls for each in service.status.replicas):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    status = service.status
    pids = {replica.pid for replica in replica_processes()}
    assert {int(each.name.rpartition(":")[2]) for each in status.replicas} == pids
    for each in status.replicas:
        assert (each.state, each.device, each.slots) == (ServiceState.READY, "cpu", 4)
        assert each.rows_per_call >= 2
        assert each.resident_bytes > 10_000_000
    assert status.denoiser_calls == sum(each.denoiser_calls for each in status.replicas)


async def test_an_error_of_the_engine_reaches_its_caller_alone(service: RayService) -> None:
    good = asyncio.create_task(run(service, request(id="good", steps=50)))
    with pytest.raises(WorkerDied):
        await run(service, request(id="bad", prompt="crash", steps=4))
    # It may have shared the replica's worker, which is then restarted.
    await asyncio.gather(good, return_exceptions=True)
    async with asyncio.timeout(120):
        await until_ready(service, 2)
    assert (await run(service, request(id="after", steps=2)))[1] == [1, 2]


async def test_a_cancelled_request_computes_no_further(service: RayService) -> None:
    seen: asyncio.Queue[Progress] = asyncio.Queue()
    running = [
        asyncio.create_task(
            service.generate(request(id=f"long{n}", steps=ENDLESS), seen.put_nowait)
        )
        for n in range(6)
    ]
    while len({(await seen.get()).id for _ in range(12)}) < 6:
        pass
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    workers = [child for replica in replica_processes() for child in replica.children()]
    assert workers
    await asyncio.sleep(2)
    before = [sum(worker.cpu_times()[:2]) for worker in workers]
    await asyncio.sleep(2)
    after = [sum(worker.cpu_times()[:2]) for worker in workers]
    assert sum(after) - sum(before) < 0.5


async def test_a_killed_replica_costs_its_own_requests_and_is_replaced(
    service: RayService,
) -> None:
    running = [
        asyncio.create_task(run(service, request(id=f"k{n}", seed=n, steps=60))) for n in range(8)
    ]
    await asyncio.sleep(1)
    victim = replica_processes()[0]
    victim.kill()
    outcomes = await asyncio.gather(*running, return_exceptions=True)
    lost = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert all(isinstance(error, WorkerDied) for error in lost)
    assert len(lost) < len(outcomes)
    assert all(len(o[1]) == 60 for o in outcomes if not isinstance(o, BaseException))
    async with asyncio.timeout(120):
        await until_ready(service, 2)
    assert victim.pid not in [replica.pid for replica in replica_processes()]


async def test_a_hanging_replica_fails_its_own_requests_and_restarts_its_worker(
    service: RayService,
) -> None:
    def restarts() -> int:
        return sum(replica.restarts for replica in service.status.replicas)

    before = restarts()
    others = [
        asyncio.create_task(run(service, request(id=f"o{n}", seed=n, steps=60))) for n in range(6)
    ]
    await asyncio.sleep(1)
    with pytest.raises(WorkerDied):
        await run(service, request(id="hang", prompt="hang", steps=4))
    outcomes = await asyncio.gather(*others, return_exceptions=True)
    lost = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert all(isinstance(error, WorkerDied) for error in lost)
    assert len(lost) < len(outcomes)
    async with asyncio.timeout(120):
        while restarts() == before:  # noqa: ASYNC110
            await asyncio.sleep(0.2)
        await until_ready(service, 2)


async def test_a_killed_driver_is_replaced_with_its_cluster(service: RayService) -> None:
    assert service.worker_pid is not None
    running = asyncio.create_task(run(service, request(id="d", steps=ENDLESS)))
    await asyncio.sleep(1)
    cluster = [psutil.Process(pid) for pid in processes_of_ray()]
    os.kill(service.worker_pid, signal.SIGKILL)
    with pytest.raises(WorkerDied):
        await running
    # Nothing of the old cluster is left, long before Ray's agents end by themselves.
    _, alive = await asyncio.to_thread(psutil.wait_procs, cluster, timeout=20)
    assert alive == []
    async with asyncio.timeout(240):
        while service.status.state is ServiceState.READY:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        await service.wait_ready()
        assert (await run(service, request(id="e", steps=3)))[1] == [1, 2, 3]


async def test_pictures_are_those_of_a_local_service_and_nothing_of_ray_stays(
    tmp_path: Path,
) -> None:
    """In a cluster of its own, at the end: the module's fixture has one open until then."""
    wanted = [request(id=f"p{n}", seed=n, width=192, height=192, steps=4) for n in range(4)]
    options = {"model": "pocket", "dtype": "float32", "cache_dir": tmp_path}
    threads = {"OMP_NUM_THREADS": "1"}
    async with LocalService(**options, environment=threads) as local:  # type: ignore[arg-type]
        local_pictures = [(await run(local, one))[0] for one in wanted]
    fleet = fleet_service(
        tmp_path,
        **options,
        fleet=FleetConfig(min_replicas=1),
        replica_factory="inference.families.build:build_engine",
        environment={"PYTHONPATH": str(ROOT), **threads},
    )
    before = processes_of_ray()
    async with fleet as opened:
        async with asyncio.timeout(240):
            await opened.wait_ready()
        fleet_pictures = [(await run(opened, one))[0] for one in wanted]
        assert processes_of_ray() - before
    assert fleet_pictures == local_pictures
    assert processes_of_ray() - before == set()
