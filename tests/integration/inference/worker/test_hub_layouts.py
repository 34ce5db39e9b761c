"""Each entry of the catalogue loads from a hub with its repositories' real layouts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from inference.downloads import find_local_model, remove_model
from inference.engine.loop import SteppedEngine
from inference.families.build import build_engine
from inference.families.sd import StableDiffusionModel
from inference.families.sdxl import StableDiffusionXLModel
from inference.model_entry import ModelEntry
from inference.models import MODELS
from inference.worker.messages import Event, Loading, Submit, WorkerConfig
from tests.support.engines import Recorder, array, finish
from tests.support.hub.fake_hub import FakeHub
from tests.support.hub.model_repositories import (
    save_further_repositories,
    save_stable_diffusion,
    save_stable_diffusion_xl,
)
from tests.support.requests import request

pytestmark = pytest.mark.filterwarnings("ignore")

# Of each repository the files that an entry needs in float32, where it has more than these.
NEEDED = {
    "lllyasviel/control_v11f1p_sd15_depth": {
        "config.json",
        "diffusion_pytorch_model.safetensors",
    },
    "madebyollin/taesd": {"config.json", "diffusion_pytorch_model.safetensors"},
    "xinsir/controlnet-union-sdxl-1.0": {"config.json", "diffusion_pytorch_model.safetensors"},
    "ByteDance/SDXL-Lightning": {"sdxl_lightning_4step_lora.safetensors"},
    "depth-anything/Depth-Anything-V2-Small-hf": {
        "config.json",
        "model.safetensors",
        "preprocessor_config.json",
    },
}
ENTRIES = [entry for entry in MODELS.values() if entry.family in ("sd", "sdxl")]


@pytest.fixture(scope="module")
def repositories(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("hub")
    xl = save_stable_diffusion_xl(folder / "xl")
    return {
        "stable-diffusion-v1-5/stable-diffusion-v1-5": save_stable_diffusion(folder / "sd15"),
        "stabilityai/stable-diffusion-xl-base-1.0": xl,
        "stabilityai/sdxl-turbo": xl,
        **save_further_repositories(folder),
    }


@pytest.fixture
async def hub(
    repositories: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[FakeHub]:
    hub = FakeHub(tmp_path / "no model", others=repositories)
    async with hub.open():
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        template = constants.HUGGINGFACE_CO_URL_TEMPLATE.partition("/{repo_id}")
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.url + "".join(template[1:])
        )
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        yield hub


async def load(entry: ModelEntry, folder: Path) -> tuple[Any, Recorder]:
    """The engine of an entry that is made small, and a recorder of its events."""
    recorder = Recorder()
    small = replace(entry, pixels=64 * 64, sizes=())
    config = WorkerConfig(entry=small, device="cpu", dtype="float32", cache_dir=folder)

    def report(event: Event | Loading) -> None:
        if not isinstance(event, Loading):
            recorder(event)

    engine, _ = await asyncio.to_thread(build_engine, config, report)
    return engine, recorder


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
async def test_an_entry_loads_from_its_repositories(
    entry: ModelEntry, hub: FakeHub, tmp_path: Path
) -> None:
    engine, recorder = await load(entry, tmp_path / "data")
    assert isinstance(engine, SteppedEngine)
    expected = StableDiffusionModel if entry.family == "sd" else StableDiffusionXLModel
    model: Any = engine.model
    assert type(model) is expected
    assert (getattr(model.pipe, "controlnet", None) is None) is (entry.control is None)
    wanted = request(
        steps=min(entry.steps, 4), strength=entry.strength, guidance_scale=entry.guidance_scale
    )
    recorder.engine = engine
    engine.post(Submit(wanted))
    await asyncio.to_thread(finish, engine, recorder, ["one"])
    assert array(recorder.results["one"]).std() > 1
    assert {repository for repository, _ in hub.served} == {r.source for r in entry.repositories}
    for repository, needed in NEEDED.items():
        served = {name for source, name in hub.served if source == repository}
        assert not served or served == needed
    main = {name for source, name in hub.served if source == entry.source}
    assert not any(name.startswith(("safety_checker", "vae_1_0")) for name in main)
    assert all("/" in name or name == "model_index.json" for name in main)
    replaced = entry.vae is not None or entry.tiny_vae is not None
    assert any(name.startswith("vae/") for name in main) is not replaced
    local = find_local_model(entry, tmp_path / "data", half=False)
    assert local is not None
    paths = [path for folder in local.folders.values() for path in folder.rglob("*.*")]
    assert local.size == sum(path.stat().st_size for path in paths if path.is_file())


async def test_a_repository_that_another_downloaded_model_needs_is_kept(
    hub: FakeHub, tmp_path: Path
) -> None:
    plain, depth = MODELS["sd15"], MODELS["sd15-depth"]
    await load(plain, tmp_path / "data")
    await load(depth, tmp_path / "data")
    everything = find_local_model(depth, tmp_path / "data", half=False)
    base = find_local_model(plain, tmp_path / "data", half=False)
    assert everything is not None
    assert base is not None
    freed = remove_model(depth, tmp_path / "data", MODELS.values())
    assert freed == everything.size - base.size
    assert find_local_model(plain, tmp_path / "data", half=False) == base
    assert find_local_model(depth, tmp_path / "data", half=False) is None
    assert remove_model(plain, tmp_path / "data", MODELS.values()) == base.size
    assert find_local_model(plain, tmp_path / "data", half=False) is None
