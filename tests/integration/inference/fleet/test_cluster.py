"""`RayService` on a real Ray cluster of two replicas on this machine, with real worker processes.

Run with `pytest -m ray`. Longer than 300 lines: its tests share one cluster.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import pytest_asyncio

from inference import (
    DeadlineExceeded,
    ImageRequest,
    LocalService,
    RayService,
    ServiceState,
    WorkerDied,
)
from tests.support.faults import phase_files
from tests.support.processes.ray_cluster import (
    READY_SECONDS,
    STATE_SECONDS,
    fleet_service,
    process_id,
    processes_of_ray,
    processes_with,
    replica_processes,
    restarts,
    until_idle,
    until_ready,
    until_reported,
    until_restarted,
    until_running,
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


async def run(service: RayService | LocalService, wanted: ImageRequest) -> tuple[bytes, list[int]]:
    steps: list[int] = []
    result = await service.generate(wanted, lambda progress: steps.append(progress.step))
    return result.pixels, steps


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cache folder of the replicas."""
    return tmp_path_factory.mktemp("cache")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(folder: Path) -> AsyncIterator[RayService]:
    async with fleet_service(folder) as opened:
        async with asyncio.timeout(READY_SECONDS):
            await opened.wait_ready()
            await until_ready(opened, 2)
            await until_slots_are_used(opened)
        yield opened


async def until_slots_are_used(service: RayService) -> None:
    """Wait until eight requests fill both replicas.

    Until the router has a replica's report, which is seconds later than the service's, it counts
    one slot there.
    """
    attempts, full = itertools.count(), False
    while not full:
        names = [f"slot{next(attempts)}" for _ in range(8)]
        made = asyncio.gather(*(run(service, request(id=name, steps=60)) for name in names))
        while not made.done():
            full |= [replica.running for replica in service.status.replicas] == [4, 4]
            await asyncio.sleep(0.05)
        await made


async def test_sixty_requests_stream_their_steps_and_give_each_its_own_picture(
    service: RayService,
) -> None:
    """Their steps take two seconds, and a report follows the one before by one second."""
    wanted = [request(id=f"r{n}", seed=n, steps=40) for n in range(60)]
    answers = await asyncio.gather(*(run(service, one) for one in wanted))
    for pixels, steps in answers:
        assert steps[0] == 1
        assert len(steps) >= 2
        assert steps == sorted(set(steps))
        assert len(set(pixels)) == 1
    assert len({pixels for pixels, _ in answers}) == 60


async def test_the_status_has_each_replica_and_what_its_engine_counts(service: RayService) -> None:
    await asyncio.gather(*(run(service, request(id=f"s{n}", steps=5)) for n in range(20)))
    # The reports of the replicas and the sum of their calls are two messages.
    async with asyncio.timeout(STATE_SECONDS):
        while True:
            status = service.status
            calls = [each.denoiser_calls for each in status.replicas]
            if all(calls) and sum(calls) == status.denoiser_calls:
                break
            await asyncio.sleep(0.1)
    pids = {replica.pid for replica in replica_processes()}
    assert {process_id(each) for each in status.replicas} == pids
    for each in status.replicas:
        assert (each.state, each.device, each.slots) == (ServiceState.READY, "cpu", 4)
        assert each.rows_per_call >= 2
        assert each.resident_bytes > 10_000_000


async def test_ray_does_not_report_its_use(service: RayService) -> None:
    """The process that reports it reads this variable."""
    driver = psutil.Process(service.worker_pid)
    reporting = [one for one in processes_with("UsageStatsHead") if driver in one.parents()]
    assert [one.environ()["RAY_USAGE_STATS_ENABLED"] for one in reporting] == ["0"]


async def test_an_error_of_the_engine_reaches_its_caller_alone(service: RayService) -> None:
    before = restarts(service)
    good = asyncio.create_task(run(service, request(id="good", steps=50)))
    with pytest.raises(WorkerDied):
        await run(service, request(id="bad", prompt="crash", steps=4))
    # It may have shared the replica's worker, which is then restarted.
    await asyncio.gather(good, return_exceptions=True)
    await until_restarted(service, before)
    _, steps = await run(service, request(id="after", steps=2))
    assert steps[0] == 1


async def assert_nothing_computes(service: RayService) -> None:
    """No replica has a request, and none makes a call of the denoiser."""
    await until_idle(service)
    # The last counts of the workers and of the replicas have arrived then.
    await until_reported(service, 3)
    before = service.status.denoiser_calls
    await until_reported(service, 2)
    assert service.status.denoiser_calls == before


async def cancel(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes)


Running = tuple[asyncio.Task[Any], asyncio.Event]


def start(service: RayService, id_: str, **options: Any) -> Running:
    """A request that runs, and an event that is set at its first step."""
    stepped = asyncio.Event()
    made = request(id=id_, **{"steps": ENDLESS, **options})
    return asyncio.create_task(service.generate(made, lambda _: stepped.set())), stepped


async def stepping(
    service: RayService, id_: str, number: int, steps: int
) -> list[asyncio.Task[Any]]:
    """So many requests, each of which has taken a step."""
    started = [start(service, f"{id_}{n}", seed=n, steps=steps) for n in range(number)]
    async with asyncio.timeout(STATE_SECONDS):
        for _, stepped in started:
            await stepped.wait()
    return [task for task, _ in started]


async def fill(service: RayService, id_: str) -> list[Running]:
    """Ten endless requests: eight take steps, and two wait in the replicas for their slots."""
    running = [start(service, f"{id_}{n}") for n in range(10)]
    try:
        async with asyncio.timeout(STATE_SECONDS):
            while sum(stepped.is_set() for _, stepped in running) < 8:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
    except TimeoutError:
        # They would occupy the replicas in the tests that follow.
        await cancel(*(task for task, _ in running))
        raise
    return running


async def test_ten_requests_cancelled_during_their_steps_compute_no_further(
    service: RayService,
) -> None:
    running = await fill(service, "step")
    await cancel(*(task for task, _ in running))
    await assert_nothing_computes(service)


async def test_ten_requests_cancelled_before_they_start_are_never_made(
    service: RayService,
) -> None:
    """Five are cancelled on their way, the others have reached a replica."""
    running = await fill(service, "full")
    sent = [start(service, f"sent{n}") for n in range(5)]
    # The tasks run until they wait for the results.
    await asyncio.sleep(0)
    await cancel(*(task for task, _ in sent))
    waiting = [start(service, f"wait{n}") for n in range(5)]
    await until_running(service, 15)
    await cancel(*(task for task, _ in waiting))
    await cancel(*(task for task, _ in running))
    await assert_nothing_computes(service)
    assert not any(stepped.is_set() for _, stepped in sent + waiting)


@asynccontextmanager
async def held(folder: Path, phase: str, id_: str) -> AsyncIterator[None]:
    """The block runs while the request is in this phase."""
    begun, go_on = phase_files(folder, phase, id_)
    try:
        async with asyncio.timeout(STATE_SECONDS):
            while not begun.exists():  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        yield
    finally:
        go_on.touch()


async def test_ten_requests_cancelled_during_their_preparation_take_one_step_at_most(
    service: RayService, folder: Path
) -> None:
    await assert_nothing_computes(service)
    before, restarts_before = service.status.denoiser_calls, restarts(service)
    for number in range(10):
        task, stepped = start(service, f"p{number}", prompt="prepare")
        async with held(folder, "prepare", f"p{number}"):
            assert not stepped.is_set()
            await cancel(task)
            await until_idle(service)
            # A replica whose worker was ended has no request either.
            assert restarts(service) == restarts_before
    await assert_nothing_computes(service)
    assert service.status.denoiser_calls - before <= 10


async def test_ten_requests_cancelled_during_their_decoding_leave_their_replica(
    service: RayService, folder: Path
) -> None:
    before = restarts(service)
    for number in range(10):
        task, _ = start(service, f"d{number}", prompt="decode", steps=1)
        async with held(folder, "decode", f"d{number}"):
            await cancel(task)
            await until_idle(service)
            assert restarts(service) == before
    await assert_nothing_computes(service)


async def test_a_deadline_counts_by_the_clock_of_the_replica(service: RayService) -> None:
    """It travels as a duration; here it has passed before the request is prepared."""
    running = await fill(service, "busy")
    late = asyncio.create_task(
        service.generate(request(id="late", steps=2, deadline=time.time() + 1.0))
    )
    await until_running(service, 11)
    await asyncio.sleep(1.2)
    await cancel(*(task for task, _ in running))
    with pytest.raises(DeadlineExceeded):
        await late


async def test_a_killed_replica_costs_its_own_requests_and_is_replaced(
    service: RayService,
) -> None:
    running = await stepping(service, "k", 8, steps=100)
    victim = replica_processes()[0]
    victim.kill()
    outcomes = await asyncio.gather(*running, return_exceptions=True)
    lost = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert all(isinstance(error, WorkerDied) for error in lost)
    assert 0 < len(lost) < len(outcomes)
    async with asyncio.timeout(READY_SECONDS):
        await until_reported(service, 2)
        await until_ready(service, 2)
    assert victim.pid not in [replica.pid for replica in replica_processes()]


async def test_requests_wait_while_all_replicas_are_lost(service: RayService) -> None:
    for replica in replica_processes():
        replica.kill()
    async with asyncio.timeout(30):
        while service.status.state is ServiceState.READY:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert service.status.detail == "waiting for a replica"
    waiting = [run(service, request(id=f"w{n}", seed=n, steps=2)) for n in range(4)]
    async with asyncio.timeout(READY_SECONDS):
        answers = await asyncio.gather(*waiting)
        assert [set(pixels) for pixels, _ in answers] == [{n + 1} for n in range(4)]
        await until_ready(service, 2)
        await service.wait_ready()


async def test_a_hanging_replica_fails_its_own_requests_and_restarts_its_worker(
    service: RayService,
) -> None:
    before = restarts(service)
    others = await stepping(service, "o", 6, steps=60)
    with pytest.raises(WorkerDied):
        await run(service, request(id="hang", prompt="hang", steps=4))
    outcomes = await asyncio.gather(*others, return_exceptions=True)
    lost = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert all(isinstance(error, WorkerDied) for error in lost)
    assert len(lost) < len(outcomes)
    await until_restarted(service, before)


async def test_a_killed_driver_is_replaced_with_its_cluster(service: RayService) -> None:
    assert service.worker_pid is not None
    [running] = await stepping(service, "d", 1, ENDLESS)
    pids = processes_of_ray()
    cluster = [process for process in psutil.process_iter() if process.pid in pids]
    os.kill(service.worker_pid, signal.SIGKILL)
    with pytest.raises(WorkerDied):
        await running
    assert service.status.state is not ServiceState.READY
    # Nothing of the old cluster is left, long before Ray's agents end by themselves.
    _, alive = await asyncio.to_thread(psutil.wait_procs, cluster, timeout=20)
    assert alive == []
    async with asyncio.timeout(READY_SECONDS):
        await service.wait_ready()
        _, steps = await run(service, request(id="e", steps=3))
    assert steps[0] == 1
