"""Several models in a fleet: on a real Ray cluster of two replicas on this machine.

Run with `pytest -m ray`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from inference import ModelNotConfigured, ModelNotLoaded, ModelState, RayService
from tests.support.faults import FIRST_COLOURS
from tests.support.processes.ray_cluster import READY_SECONDS, fleet_service, until_ready
from tests.support.requests import request

pytest.importorskip("ray")
pytestmark = [
    pytest.mark.ray,
    pytest.mark.timeout(600),
    pytest.mark.asyncio(loop_scope="module"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RayService]:
    """Two replicas with three models, of which two can be loaded and fit the memory together."""
    folder: Path = tmp_path_factory.mktemp("cache")
    async with fleet_service(
        folder,
        other_models=["pocket", "sd15"],
        model_memory=2**34,
        replica_factory="tests.support.faults:several_models",
    ) as opened:
        async with asyncio.timeout(READY_SECONDS):
            await opened.wait_ready()
            await until_ready(opened, 2)
        yield opened


async def colour(service: RayService, model: str, seed: int) -> int:
    """The colour of the picture, without the number that follows from its seed."""
    made = request(id=f"{model}-{seed}", model=model, seed=seed, steps=4)
    (value,) = set((await service.generate(made)).pixels)
    return value - seed


def models_of_replicas(service: RayService) -> list[tuple[str, ...]]:
    return sorted(replica.models for replica in service.status.replicas)


async def until_reported(service: RayService, expected: list[tuple[str, ...]]) -> None:
    end = time.monotonic() + 20
    while (found := models_of_replicas(service)) != expected and time.monotonic() < end:  # noqa: ASYNC110
        await asyncio.sleep(0.1)
    assert found == expected, service.status


async def test_a_model_is_loaded_by_one_replica_while_its_requests_fit_there(
    service: RayService,
) -> None:
    await until_reported(service, [("noise",), ("noise",)])
    for number in range(4):
        assert await colour(service, "pocket", number) == FIRST_COLOURS["pocket"]
    await until_reported(service, [("noise",), ("noise", "pocket")])
    noise, pocket, _ = service.status.models
    assert (noise.state, pocket.state) == (ModelState.LOADED, ModelState.LOADED)
    assert (noise.loads, pocket.loads) == (2, 1)
    # The replica without the model counts, too.
    assert (noise.slots, pocket.slots) == (10, 10)


async def test_requests_of_several_models_run_together(service: RayService) -> None:
    names = ["", "noise", "pocket"] * 10
    colours = await asyncio.gather(*(colour(service, name, n) for n, name in enumerate(names)))
    assert colours == [FIRST_COLOURS[name or "noise"] for name in names]


async def test_more_requests_than_one_replica_holds_are_made_by_both(service: RayService) -> None:
    colours = await asyncio.gather(*(colour(service, "pocket", n) for n in range(30)))
    assert set(colours) == {FIRST_COLOURS["pocket"]}
    await until_reported(service, [("noise", "pocket"), ("noise", "pocket")])


async def test_a_model_that_cannot_be_loaded_fails_only_its_own_requests(
    service: RayService,
) -> None:
    """Its files are missing, and no test reaches the model hub."""
    others = [asyncio.create_task(colour(service, "noise", number)) for number in range(8)]
    async with asyncio.timeout(60):
        # The second replica tries when the router knows that the first one has tried.
        while service.status.model("sd15").state is not ModelState.FAILED:
            with pytest.raises(
                ModelNotLoaded, match=r"sd15 cannot be loaded: .* cannot be reached"
            ):
                await colour(service, "sd15", 0)
            await asyncio.sleep(1)
    assert set(await asyncio.gather(*others)) == {FIRST_COLOURS["noise"]}
    assert "cannot be reached" in service.status.model("sd15").failure
    assert [replica.restarts for replica in service.status.replicas] == [0, 0]


async def test_a_model_of_no_replica_is_refused(service: RayService) -> None:
    with pytest.raises(ModelNotConfigured, match="sdxl"):
        await colour(service, "sdxl", 0)
