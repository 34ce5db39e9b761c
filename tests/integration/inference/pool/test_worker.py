"""Several models in a real worker process whose loading goes wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from inference import (
    ImageResult,
    LocalService,
    ModelNotConfigured,
    ModelNotLoaded,
    ModelState,
    ServiceState,
    UnknownModel,
    WorkerFailed,
)
from inference.worker import excluded
from tests.support.requests import request

# A folder with that name, so that nothing is downloaded before the model is loaded.
SD15 = str(Path(__file__).parents[3] / "fixtures" / "models" / "sd15")


def service(factory: str, models: Sequence[str] = ("noise", "pocket", SD15)) -> LocalService:
    """A service with these models, which that factory builds."""
    return LocalService(
        model=models[0],
        other_models=models[1:],
        factory=f"tests.support.faults:{factory}",
        cache_dir=Path("unused"),
    )


async def make(running: LocalService, model: str) -> ImageResult:
    return await running.generate(replace(request(model), prompt="fox", model=model, steps=2))


@pytest.mark.parametrize("factory", ["kills_for_sd15", "hangs_for_sd15"])
async def test_a_worker_that_ends_while_loading_a_model_fails_only_its_requests(
    factory: str,
) -> None:
    async with service(factory) as running:
        await running.wait_ready()
        assert (await make(running, "pocket")).steps_run == 2
        if factory.startswith("hangs"):
            # For this process only: a busy machine may delay the start of the next one.
            assert running._watchdog is not None
            running._watchdog._load_seconds = 0.5
        with pytest.raises(ModelNotLoaded, match="sd15 cannot be loaded"):
            await make(running, "sd15")
        assert (await make(running, "noise")).steps_run == 2
        status = running.status
    assert status.restarts == 1
    assert status.model("").state is ModelState.LOADED


async def test_a_model_that_ended_a_worker_ends_no_other_one_for_some_minutes() -> None:
    async with service("kills_for_sd15") as running:
        for _ in range(3):
            with pytest.raises(ModelNotLoaded, match="ended by SIGKILL"):
                await make(running, "sd15")
        assert (await make(running, "noise")).steps_run == 2
        status = running.status
    assert status.restarts == 1
    assert status.model("sd15").state is ModelState.FAILED


async def test_deaths_by_the_loading_of_one_model_do_not_end_the_service(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(excluded, "RETRY_SECONDS", 0.0)
    async with service("kills_for_sd15") as running:
        for _ in range(3):
            with pytest.raises(ModelNotLoaded):
                await make(running, "sd15")
        assert (await make(running, "noise")).steps_run == 2
        assert running.status.restarts == 3


async def test_a_default_model_that_ends_the_worker_leaves_the_others_running() -> None:
    async with service("kills_for_sd15", [SD15, "noise"]) as running:
        await running.wait_ready()
        assert (await make(running, "noise")).steps_run == 2
        with pytest.raises(ModelNotLoaded, match="sd15 cannot be loaded"):
            await make(running, "")
        assert running.status.restarts == 1


async def test_the_service_fails_if_the_loading_of_every_model_ends_the_worker() -> None:
    async with service("dies_at_once", ["noise", "pocket"]) as running:
        with pytest.raises(WorkerFailed, match="3 times in a row"):
            await running.wait_failed()


async def test_a_model_without_a_file_is_reported_and_the_others_run() -> None:
    async with service("fails_for_sd15") as running:
        await running.wait_ready()
        with pytest.raises(ModelNotLoaded, match="sd15 cannot be loaded: There is no such model"):
            await make(running, "sd15")
        assert (await make(running, "noise")).steps_run == 2
        assert running.status.state is ServiceState.READY
        assert running.status.model("sd15").state is ModelState.FAILED
        assert running.status.model("pocket").state is ModelState.UNLOADED
        assert running.status.slots == 4


async def test_a_request_for_another_model_is_refused() -> None:
    async with service("build_engine") as running:
        with pytest.raises(ModelNotConfigured, match="sdxl"):
            await make(running, "sdxl")


def test_a_model_that_is_named_twice_is_refused() -> None:
    with pytest.raises(UnknownModel, match="named twice"):
        LocalService(model="noise", other_models=["pocket", "noise"])
