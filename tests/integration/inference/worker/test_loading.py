"""Loading a model from a folder, and every way in which it can fail."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from inference import (
    ImageResult,
    InvalidModel,
    LocalService,
    ModelTooLarge,
    UnknownModel,
)
from inference.models import find_model
from inference.pipelines import random_tiny
from inference.pipelines.load import load_pipeline
from tests.support.requests import request as make_request

CPU = torch.device("cpu")
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_tiny.save(tmp_path_factory.mktemp("saved"))


def load(folder: Path, cache: Path) -> Any:
    return load_pipeline(find_model(str(folder)), CPU, torch.float32, cache, lambda _: None)


async def test_a_folder_serves_as_a_model(saved: Path, tmp_path: Path) -> None:
    async with LocalService(
        model=str(saved), dtype="float32", device="cpu", cache_dir=tmp_path
    ) as service:
        result = await service.generate(make_request(preview=True, return_depth=True))
        assert isinstance(result, ImageResult)
        assert (service.status.device, service.status.dtype) == ("cpu", "float32")
        assert service.status.slots == 1


@pytest.mark.parametrize(("batch_rows", "slots"), [(0, 4), (6, 6)])
async def test_on_a_cpu_the_catalogue_or_batch_rows_decides_how_many_run_at_once(
    tmp_path: Path, batch_rows: int, slots: int
) -> None:
    assert find_model("pocket").cpu_requests == 4
    async with LocalService(
        model="pocket", dtype="float32", device="cpu", batch_rows=batch_rows, cache_dir=tmp_path
    ) as service:
        await service.wait_ready()
        assert service.status.slots == slots


@pytest.mark.filterwarnings("ignore")
def test_an_old_index_with_a_class_that_no_longer_exists_still_loads(
    saved: Path, tmp_path: Path
) -> None:
    """The public mirror of Stable Diffusion 2 depth has such an index."""
    old = shutil.copytree(saved, tmp_path / "old")
    index = json.loads((old / "model_index.json").read_text())
    index["feature_extractor"] = ["transformers", "DPTFeatureExtractor"]
    (old / "model_index.json").write_text(json.dumps(index))
    path = old / "feature_extractor" / "preprocessor_config.json"
    config = json.loads(path.read_text())
    del config["image_processor_type"]
    path.write_text(json.dumps(config | {"feature_extractor_type": "DPTFeatureExtractor"}))
    assert type(load(old, tmp_path).feature_extractor).__name__.startswith("DPTImageProcessor")


def test_the_catalogue_s_scheduler_replaces_the_one_in_the_folder(
    saved: Path, tmp_path: Path
) -> None:
    entry = dataclasses.replace(find_model("sd2-depth"), source=str(saved))
    pipe = load_pipeline(entry, CPU, torch.float32, tmp_path, lambda _: None)
    assert type(pipe.scheduler).__name__ == "DPMSolverMultistepScheduler"
    assert pipe.scheduler.config.use_karras_sigmas
    assert pipe.scheduler.config.beta_schedule == "scaled_linear"


def damage_folder(damage: str, folder: Path) -> None:
    match damage:
        case "no safetensors":
            for path in folder.rglob("*.safetensors"):
                torch.save({}, path.with_suffix(".bin"))
                path.unlink()
        case "no unet":
            shutil.rmtree(folder / "unet")
        case "half a file":
            path = folder / "unet" / "diffusion_pytorch_model.safetensors"
            path.write_bytes(path.read_bytes()[:1000])
        case "not image-to-image":
            index = json.loads((folder / "model_index.json").read_text())
            index["_class_name"] = "AudioLDMPipeline"
            (folder / "model_index.json").write_text(json.dumps(index))
        case "an index that is no JSON":
            (folder / "model_index.json").write_text("{")
        case "code of its own":
            index = json.loads((folder / "model_index.json").read_text())
            index["_class_name"] = ["pipeline", "Own"]
            (folder / "model_index.json").write_text(json.dumps(index))
            (folder / "pipeline.py").write_text("raise SystemExit('ran')")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("no safetensors", "safetensors"),
        ("no unet", "cannot be loaded"),
        ("half a file", "damaged"),
        ("not image-to-image", "not a pipeline that redraws or draws"),
        ("an index that is no JSON", "cannot be loaded"),
        ("code of its own", "not a pipeline that redraws or draws"),
    ],
)
def test_a_folder_that_does_not_load_gives_one_sentence(
    saved: Path, tmp_path: Path, damage: str, message: str
) -> None:
    folder = shutil.copytree(saved, tmp_path / "model")
    damage_folder(damage, folder)
    with pytest.raises(InvalidModel, match=message) as error:
        load(folder, tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("x"), RuntimeError("out of memory")])
def test_a_model_too_large_for_the_device_is_reported(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def out_of_memory(*_: object) -> None:
        raise error

    monkeypatch.setattr("diffusers.StableDiffusionDepth2ImgPipeline.to", out_of_memory)
    with pytest.raises(ModelTooLarge, match="does not fit the free memory"):
        load(saved, tmp_path)


def test_the_error_for_an_unknown_name_lists_the_catalogue() -> None:
    with pytest.raises(UnknownModel, match=r"neither.*sd2-depth"):
        find_model("sd3-depth")
