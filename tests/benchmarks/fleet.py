"""Measures what Ray adds to a request, and how throughput grows with the replicas.

    python -m tests.benchmarks.fleet --replicas 1 2 8

Every replica has a fake engine whose step is a sleep of 50 ms, so that many replicas fit a small
machine. Prints one line of JSON for a local worker and one for each fleet. Single requests go to
the local worker and to the fleet in turn; both numbers are of the same minute. For the throughput,
as many requests are under way as the bot would have.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from pathlib import Path

import psutil

from inference import FleetConfig, ImageRequest, InferenceService, LocalService, RayService
from tests.support.processes.ray_cluster import (
    ENVIRONMENT,
    FAKE_ENGINE,
    processes_of_ray,
    until_ready,
)
from tests.support.requests import request

SLOTS, STEPS = 4, 10
# Pictures of the size that Stable Diffusion 2 makes: 768 KiB each way.
SIDE = 512


async def seconds_alone(service: InferenceService, number: int) -> float:
    """The time of one request with nothing else running."""
    wanted = request(id=f"alone {number}", width=SIDE, height=SIDE, steps=STEPS)
    began = time.perf_counter()
    await service.generate(wanted)
    return time.perf_counter() - began


async def latency(
    local: InferenceService, fleet: InferenceService, number: int
) -> dict[str, float]:
    """What the fleet adds to a request that runs alone, in milliseconds."""
    for service in (local, fleet):
        await seconds_alone(service, -1)
    times: tuple[list[float], list[float]] = ([], [])
    for each in range(number):
        for service, measured in zip((local, fleet), times, strict=True):
            measured.append(1000 * await seconds_alone(service, each))
    local_times, fleet_times = map(sorted, times)
    figures = {}
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        index = min(number - 1, int(share * number))
        figures[f"local_{name}_ms"] = round(local_times[index], 1)
        figures[f"fleet_{name}_ms"] = round(fleet_times[index], 1)
        figures[f"added_{name}_ms"] = round(fleet_times[index] - local_times[index], 1)
    return figures


def memory_of_ray() -> int:
    """Memory that only Ray's processes use, without the workers with the engines, in MiB."""
    used = sum(psutil.Process(pid).memory_full_info().uss for pid in processes_of_ray())
    return int(used) // 2**20


async def throughput(service: InferenceService, number: int) -> float:
    """Requests per second while as many are under way as the service has slots."""
    jobs = [request(id=f"full {each}", seed=each, steps=STEPS) for each in range(number)]
    free = asyncio.Semaphore(service.status.slots)

    async def run(one: ImageRequest) -> None:
        async with free:
            await service.generate(one)

    began = time.perf_counter()
    await asyncio.gather(*(run(one) for one in jobs))
    return round(number / (time.perf_counter() - began), 2)


async def main() -> None:
    """Parse the arguments and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replicas", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--requests", type=int, default=100, help="single requests to each service")
    parser.add_argument("--rounds", type=int, default=20, help="full batches for each replica")
    parser.add_argument(
        "--environment",
        nargs="*",
        default=[],
        metavar="NAME=VALUE",
        help="for the cluster: RAY_max_direct_call_object_size=4000000 avoids the object store",
    )
    options = parser.parse_args()
    environment = {**ENVIRONMENT, **dict(x.split("=") for x in options.environment)}
    with tempfile.TemporaryDirectory() as folder:
        async with LocalService(
            model="noise", factory=FAKE_ENGINE, cache_dir=Path(folder)
        ) as local:
            await local.wait_ready()
            rate = await throughput(local, SLOTS * options.rounds)
            print(json.dumps({"service": "local", "requests_per_second": rate}), flush=True)
            for replicas in options.replicas:
                began = time.perf_counter()
                async with RayService(
                    model="noise",
                    fleet=FleetConfig(min_replicas=replicas, replica_cpus=0),
                    replica_factory=FAKE_ENGINE,
                    cache_dir=Path(folder),
                    environment=environment,
                ) as fleet:
                    await fleet.wait_ready()
                    await until_ready(fleet, replicas)
                    ready = time.perf_counter() - began
                    alone = await latency(local, fleet, options.requests)
                    driver = psutil.Process(fleet.worker_pid)
                    before = sum(driver.cpu_times()[:2])
                    number = SLOTS * replicas * options.rounds
                    rate = await throughput(fleet, number)
                    cpu = (sum(driver.cpu_times()[:2]) - before) / number
                    figures = {
                        "ready_seconds": round(ready, 1),
                        **alone,
                        "requests_per_second": rate,
                        "driver_cpu_ms_per_request": round(1000 * cpu, 1),
                        "ray_memory_mib": memory_of_ray(),
                    }
                    print(json.dumps({"service": "ray", "replicas": replicas, **figures}))


if __name__ == "__main__":
    asyncio.run(main())
