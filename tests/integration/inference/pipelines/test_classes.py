"""What the bot's process knows about pipelines is what diffusers says and what is loaded."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from inference.families.build import build_engine
from inference.families.registry import build_model
from inference.families.whole_call import WholeCallEngine
from inference.model_entry import ALL_OPTIONS, DEPTH, MASK
from inference.models import find_model
from inference.pipelines import random_klein, random_tiny
from inference.pipelines.classes import FILE, capabilities
from inference.pipelines.load import load_pipeline
from inference.types import Option, Task
from inference.worker.messages import WorkerConfig
from tests.support import tiny_models

pytestmark = pytest.mark.filterwarnings("ignore")

CPU = torch.device("cpu")
REDRAWS_AND_DRAWS: tuple[Task, ...] = ("img2img", "text2img")
DRAWS_AND_EDITS: tuple[Task, ...] = ("text2img", "edit")


def test_the_file_of_classes_is_that_of_the_installed_diffusers() -> None:
    assert json.loads(FILE.read_text(encoding="utf-8")) == capabilities(), (
        "run `python -m inference.pipelines.classes`"
    )


CASES: dict[str, tuple[Callable[[], Any], tuple[Task, ...], frozenset[Option], int]] = {
    "depth": (random_tiny.build, ("img2img",), ALL_OPTIONS | DEPTH, 0),
    "sd": (tiny_models.stable_diffusion, REDRAWS_AND_DRAWS, ALL_OPTIONS | MASK, 0),
    "sdxl": (tiny_models.stable_diffusion_xl, REDRAWS_AND_DRAWS, ALL_OPTIONS | MASK, 0),
    "klein": (random_klein.build, ("edit", "text2img"), MASK, 4),
}


@pytest.mark.parametrize("name", CASES)
def test_a_folder_has_the_tasks_and_settings_of_its_pipeline(name: str, tmp_path: Path) -> None:
    build, tasks, options, references = CASES[name]
    build().save_pretrained(tmp_path / name)
    entry = find_model(str(tmp_path / name))
    assert (entry.name, entry.tasks, entry.options) == (name, tasks, options)
    assert entry.max_references == references
    pipe = load_pipeline(entry, CPU, torch.float32, tmp_path, lambda _: None)
    assert build_model(pipe) is not None


def test_the_klein_model_that_is_not_distilled_has_guidance(tmp_path: Path) -> None:
    random_klein.build(distilled=False).save_pretrained(tmp_path)
    entry = find_model(str(tmp_path))
    assert entry.options == MASK | {"guidance"}
    assert entry.guidance_scale > 1


def index(folder: Path, name: str) -> str:
    (folder / "model_index.json").write_text(json.dumps({"_class_name": name}))
    return str(folder)


@pytest.mark.parametrize(
    ("name", "tasks", "options"),
    [
        ("FluxPipeline", REDRAWS_AND_DRAWS, {"strength", "guidance"}),
        ("SanaPipeline", ("text2img",), {"negative_prompt", "guidance"}),
        ("FluxKontextPipeline", DRAWS_AND_EDITS, {"guidance"}),
        ("QwenImageEditPipeline", ("edit",), {"guidance"}),
        ("StableDiffusion3Pipeline", REDRAWS_AND_DRAWS, ALL_OPTIONS),
        ("AnUnknownPipeline", ("img2img",), ALL_OPTIONS),
    ],
)
def test_other_classes_have_what_their_calls_take(
    tmp_path: Path, name: str, tasks: tuple[Task, ...], options: set[Option]
) -> None:
    entry = find_model(index(tmp_path, name))
    assert entry.tasks == tasks
    assert set(entry.options) == set(options)


def test_a_downloaded_repository_is_described_by_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    assert find_model("some/model").tasks == ("img2img",)
    snapshot = tmp_path / "models--some--model" / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    index(snapshot, "Flux2KleinPipeline")
    assert find_model("some/model").tasks == ("edit", "text2img")
    assert find_model("some/model@main").tasks == ("edit", "text2img")


def test_a_folder_of_another_class_runs_by_whole_calls(tmp_path: Path) -> None:
    """Here, the UNet of a model that was distilled with its guidance."""
    pipe = tiny_models.stable_diffusion()
    width = tiny_models.WIDTH
    pipe.unet = tiny_models.unet(cross_attention_dim=width, time_cond_proj_dim=8)
    pipe.save_pretrained(tmp_path)
    entry = find_model(str(tmp_path))
    assert (entry.tasks, entry.options) == (REDRAWS_AND_DRAWS, ALL_OPTIONS)
    config = WorkerConfig(entry=entry, device="cpu", dtype="float32", cache_dir=tmp_path)
    engine, _ = build_engine(config, lambda _: None)
    assert isinstance(engine, WholeCallEngine)
