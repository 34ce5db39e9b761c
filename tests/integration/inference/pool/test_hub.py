"""Models whose files are on a hub only: a real pool that runs in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from inference.errors import ModelNotLoaded
from inference.families import build
from inference.models import find_model
from inference.pipelines import random_tiny
from inference.pool.build import build_engine
from inference.pool.pool import ModelPool
from inference.service import ModelState, ModelStatus
from inference.types import ImageResult
from inference.worker.messages import Failed, ModelStates, Stop, Submit, WorkerConfig
from tests.support.hub.fake_hub import REPOSITORY, FakeHub
from tests.support.hub.in_process import use_hub
from tests.support.requests import request


class Running:
    """A pool with real models that runs in a thread, and the end of each request."""

    def __init__(self, hub: FakeHub, folder: Path, dtype: str) -> None:
        self.hub = hub
        self.pool: ModelPool
        self.states: list[ModelStatus] = []
        # The index in `states` after the last one that `reached` has found.
        self._passed = 0
        self._ended: dict[str, asyncio.Future[ImageResult]] = {}
        self._loop = asyncio.get_running_loop()
        self._config = WorkerConfig(
            entry=find_model("noise"),
            others=(find_model(REPOSITORY),),
            device="cpu",
            dtype=dtype,
            cache_dir=folder,
            factory_options={"model_factory": "inference.families.build:build_engine"},
        )

    def build(self) -> None:
        self.pool, _ = build_engine(self._config, self._report)

    def _report(self, event: object) -> None:
        match event:
            case ModelStates(models=models):
                self.states.append(models[1])
            case ImageResult(id=id_):
                self._loop.call_soon_threadsafe(self._ended[id_].set_result, event)
            case Failed(id=id_, error=error):
                self._loop.call_soon_threadsafe(self._ended[id_].set_exception, error)

    def state(self) -> ModelState:
        """The state of the model on the hub."""
        return self.states[-1].state

    async def reached(self, state: ModelState) -> None:
        """Wait until the model on the hub reaches this state, after those waited for before."""
        found = False
        while not found:
            # Another thread appends to them.
            for each in self.states[self._passed :]:
                self._passed += 1
                found = each.state is state
                if found:
                    break
            await asyncio.sleep(0.005)

    def submit(self, id_: str, model: str) -> asyncio.Future[ImageResult]:
        self._ended[id_] = self._loop.create_future()
        self.pool.post(Submit(replace(request(id_), model=model, steps=2)))
        return self._ended[id_]


@pytest.fixture
async def running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> AsyncIterator[Running]:
    """The random model, and a model that is on a hub only, whose files are held back.

    A parameter is the precision. Half precision has files of its own.
    """
    dtype = getattr(request, "param", "float32")
    folder = random_tiny.save(tmp_path / "repository")
    if dtype != "float32":
        random_tiny.build().to(torch.float16).save_pretrained(folder, variant="fp16")
    hub = FakeHub(folder, held=asyncio.Event())
    async with hub.open():
        use_hub(hub, tmp_path / "cache", monkeypatch)
        made = Running(hub, tmp_path / "data", dtype)
        await asyncio.to_thread(made.build)
        thread = asyncio.create_task(asyncio.to_thread(made.pool.run))
        yield made
        assert hub.held is not None
        hub.held.set()
        made.pool.post(Stop())
        await thread


async def test_a_slow_hub_delays_only_the_requests_of_its_model(running: Running) -> None:
    waiting = running.submit("downloaded", REPOSITORY)
    for number in range(3):
        assert (await running.submit(f"noise {number}", "noise")).steps_run == 1
    assert running.state() is ModelState.DOWNLOADING
    assert not waiting.done()
    assert running.hub.held is not None
    running.hub.held.set()
    assert (await waiting).steps_run == 1
    assert running.state() is ModelState.LOADED


@pytest.mark.parametrize("running", ["bfloat16"], indirect=True)
async def test_a_slow_download_in_full_precision_delays_only_the_requests_of_its_model(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = running.hub.held
    assert held is not None
    loop = asyncio.get_running_loop()

    def only_in_float32(model: Any, _pixels: int) -> bool:
        # The files in full precision are held back, too.
        loop.call_soon_threadsafe(held.clear)
        return bool(model.dtype == torch.float32)

    monkeypatch.setattr(build, "gives_finite_values", only_in_float32)
    waiting = running.submit("downloaded", REPOSITORY)
    held.set()
    await running.reached(ModelState.LOADING)
    await running.reached(ModelState.DOWNLOADING)
    assert (await running.submit("noise", "noise")).steps_run == 1
    assert not waiting.done()
    held.set()
    assert (await waiting).steps_run == 1
    assert any("fp16" in name for name in running.hub.downloaded)
    assert "unet/diffusion_pytorch_model.safetensors" in running.hub.downloaded


async def test_a_refusal_of_the_hub_fails_only_the_requests_of_its_model(running: Running) -> None:
    running.hub.refuse = (404, "RepoNotFound")
    waiting = running.submit("downloaded", REPOSITORY)
    assert (await running.submit("noise", "noise")).steps_run == 1
    assert running.hub.held is not None
    running.hub.held.set()
    with pytest.raises(ModelNotLoaded, match="no repository some/model, or it is private"):
        await waiting
    assert (await running.submit("noise again", "noise")).steps_run == 1
