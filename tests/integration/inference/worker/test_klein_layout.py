"""The catalogue's FLUX.2 klein from a hub that serves a tiny repository in its layout."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from inference import MODELS, ImageResult, LocalService, Picture
from tests.support.hub.fake_hub import FakeHub
from tests.support.hub.model_repositories import save_klein_layout
from tests.support.pictures import photo
from tests.support.requests import request

# The hub's client reads its environment when it is imported.
pytestmark = pytest.mark.usefixtures("spawned_workers")

EXPECTED = {
    "model_index.json",
    "scheduler/scheduler_config.json",
    "text_encoder/config.json",
    "text_encoder/model.safetensors.index.json",
    "tokenizer/chat_template.jinja",
    "tokenizer/tokenizer.json",
    "transformer/diffusion_pytorch_model.safetensors",
    "vae/diffusion_pytorch_model.safetensors",
}


async def test_the_repository_is_downloaded_loaded_and_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = FakeHub(save_klein_layout(tmp_path / "repository"))
    # The check of a loaded model makes a picture of this size.
    small = replace(MODELS["klein-4b"], pixels=96 * 96, sizes=((96, 96),), multiple=32)
    monkeypatch.setitem(MODELS, "klein-4b", small)
    references = (Picture(pixels=photo(64, 96).tobytes(), width=64, height=96),)
    edit = request("edit", references=references, steps=2, strength=1.0)
    text = request("text", pixels=b"", steps=2, strength=1.0)
    async with hub.open():
        environment: dict[str, str | None] = {
            "HF_ENDPOINT": hub.url,
            "HF_HUB_OFFLINE": "0",
            "HF_HOME": str(tmp_path / "hub"),
            "HF_TOKEN": None,
        }
        async with LocalService(
            model="klein-4b",
            device="cpu",
            dtype="float32",
            cache_dir=tmp_path / "data",
            environment=environment,
        ) as service:
            await service.wait_ready()
            results = [await service.generate(each) for each in (edit, text)]
    assert all(isinstance(result, ImageResult) and result.steps_run == 2 for result in results)
    assert results[0].pixels != results[1].pixels
    assert hub.downloaded >= EXPECTED
    shards = {name for name in hub.downloaded if name.startswith("text_encoder/model-")}
    assert len(shards) > 1
    assert not {name for name in hub.downloaded if "/" not in name} - {"model_index.json"}
