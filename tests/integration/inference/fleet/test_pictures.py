"""The pictures of the small model in a fleet: on a real Ray cluster of two replicas.

Run with `pytest -m ray`.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from inference import ImageRequest, LocalService, Preview, Progress, RayService
from tests.support.processes.ray_cluster import (
    ENVIRONMENT,
    LEFT_SECONDS,
    READY_SECONDS,
    fleet_service,
    left_of_ray,
    processes_of_ray,
    until_ready,
)
from tests.support.requests import request

pytest.importorskip("ray")
pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]


async def make(
    service: LocalService | RayService, wanted: ImageRequest
) -> tuple[bytes, list[Preview]]:
    seen: list[Preview] = []

    def keep(step: Progress) -> None:
        if step.preview is not None:
            seen.append(step.preview)

    return (await service.generate(wanted, keep)).pixels, seen


async def test_sixty_pictures_of_pocket_are_those_of_a_local_service_and_nothing_of_ray_stays(
    tmp_path: Path,
) -> None:
    alone = [request(id=f"p{n}", seed=n, width=192, height=192, steps=4) for n in range(4)]
    together = [replace(alone[n % 4], id=f"u{n}", preview=True) for n in range(60)]
    options = {"model": "pocket", "dtype": "float32", "cache_dir": tmp_path}
    threads = {"OMP_NUM_THREADS": "1"}
    async with LocalService(**options, environment=threads) as local:  # type: ignore[arg-type]
        expected = [(await make(local, one))[0] for one in alone]
    before = processes_of_ray()
    async with fleet_service(
        tmp_path,
        **options,
        replica_factory="inference.families.build:build_engine",
        environment={**ENVIRONMENT, **threads},
    ) as fleet:
        async with asyncio.timeout(READY_SECONDS):
            await fleet.wait_ready()
            await until_ready(fleet, 2)
        assert [(await make(fleet, one))[0] for one in alone] == expected
        answers = await asyncio.gather(*(make(fleet, one) for one in together))
        assert processes_of_ray() - before
    for number, (pixels, previews) in enumerate(answers):
        assert previews
        # Pictures of several requests in one call differ by rounding.
        assert largest_difference(pixels, expected[number % 4]) <= 2
    assert await left_of_ray(before, LEFT_SECONDS) == set()


def largest_difference(one: bytes, other: bytes) -> int:
    return max(abs(a - b) for a, b in zip(one, other, strict=True))
