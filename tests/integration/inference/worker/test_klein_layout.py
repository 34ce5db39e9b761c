"""The catalogue's FLUX.2 klein from a hub that serves a tiny repository in its layout."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from inference import MODELS, Picture
from inference.engine.loop import SteppedEngine
from inference.families.build import build_engine
from inference.worker.messages import Event, Loading, Submit, WorkerConfig
from tests.support.engines import Recorder, finish
from tests.support.hub.fake_hub import FakeHub
from tests.support.hub.in_process import use_hub
from tests.support.hub.model_repositories import save_klein_layout
from tests.support.pictures import photo
from tests.support.requests import request

pytestmark = pytest.mark.filterwarnings("ignore")

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
    references = (Picture(pixels=photo(64, 96).tobytes(), width=64, height=96),)
    recorder = Recorder()

    def report(event: Event | Loading) -> None:
        if not isinstance(event, Loading):
            recorder(event)

    async with hub.open():
        use_hub(hub, tmp_path / "cache", monkeypatch)
        config = WorkerConfig(
            entry=small, device="cpu", dtype="float32", cache_dir=tmp_path / "data"
        )
        engine, _ = await asyncio.to_thread(build_engine, config, report)
    assert isinstance(engine, SteppedEngine)
    recorder.engine = engine
    engine.post(Submit(request("edit", references=references, steps=2, strength=1.0)))
    engine.post(Submit(request("text", pixels=b"", steps=2, strength=1.0)))
    finish(engine, recorder, ["edit", "text"])
    assert not recorder.failures
    assert [result.steps_run for result in recorder.results.values()] == [2, 2]
    assert recorder.results["edit"].pixels != recorder.results["text"].pixels
    assert hub.downloaded >= EXPECTED
    shards = {name for name in hub.downloaded if name.startswith("text_encoder/model-")}
    assert len(shards) > 1
    assert not {name for name in hub.downloaded if "/" not in name} - {"model_index.json"}
