"""Measures what Ray adds to a request, and how throughput grows with the replicas.

    python -m tests.benchmarks.fleet --replicas 1 2 8

Every replica has a fake engine whose step is a sleep of 50 ms, so that many replicas fit a small
machine. Prints one line of JSON for a local worker and one for each fleet.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from pathlib import Path

from inference import FleetConfig, ImageRequest, LocalService, RayService
from tests.support.requests import request

ROOT = Path(__file__).parents[2]
FAKE_ENGINE = "tests.support.faults:slow_engine"
SLOTS, STEPS = 4, 10
# Pictures of the size that Stable Diffusion 2 makes: 768 KiB each way.
SIDE = 512


async def seconds_alone(service: LocalService, number: int) -> float:
    """The time of one request with nothing else running."""
    began = time.perf_counter()
    await service.generate(request(id=f"alone {number}", width=SIDE, height=SIDE, steps=STEPS))
    return time.perf_counter() - began


async def measure(service: LocalService, replicas: int, rounds: int) -> dict[str, float]:
    """Latency of single requests, and throughput with every batch full."""
    await service.wait_ready()
    while service.status.slots < SLOTS * replicas:  # noqa: ASYNC110 - the status has no event
        await asyncio.sleep(0.2)
    await seconds_alone(service, -1)
    alone = sorted([await seconds_alone(service, number) for number in range(20)])
    jobs = [
        request(id=f"full {number}", seed=number, width=64, height=64, steps=STEPS)
        for number in range(SLOTS * replicas * rounds)
    ]
    free = asyncio.Semaphore(SLOTS * replicas)

    async def run(one: ImageRequest) -> None:
        async with free:
            await service.generate(one)

    began = time.perf_counter()
    await asyncio.gather(*(run(one) for one in jobs))
    seconds = time.perf_counter() - began
    return {
        "replicas": replicas,
        "alone_p50_ms": round(alone[len(alone) // 2] * 1000, 1),
        "alone_max_ms": round(alone[-1] * 1000, 1),
        "requests_per_second": round(len(jobs) / seconds, 2),
    }


async def main() -> None:
    """Parse the arguments and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replicas", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        async with LocalService(
            model="noise", factory=FAKE_ENGINE, cache_dir=Path(folder)
        ) as local:
            print(json.dumps({"service": "local", **await measure(local, 1, options.rounds)}))
        for replicas in options.replicas:
            async with RayService(
                model="noise",
                fleet=FleetConfig(min_replicas=replicas, replica_cpus=0),
                replica_factory=FAKE_ENGINE,
                cache_dir=Path(folder),
                environment={"PYTHONPATH": str(ROOT)},
            ) as fleet:
                figures = await measure(fleet, replicas, options.rounds)
                print(json.dumps({"service": "ray", **figures}), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
