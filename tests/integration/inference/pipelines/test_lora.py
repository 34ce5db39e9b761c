"""A LoRA that is merged at loading gives the pictures of the library's active LoRA."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoPipelineForImage2Image

from inference.model_entry import ExtraRepository, ModelEntry
from inference.pipelines.load import load_pipeline
from tests.support import tiny_models
from tests.support.engines import relative, run_library
from tests.support.hub.model_repositories import (
    save_lora,
    save_stable_diffusion,
    save_stable_diffusion_xl,
)
from tests.support.requests import request

pytestmark = pytest.mark.filterwarnings("ignore")

NAME = "pytorch_lora_weights.safetensors"


@pytest.mark.parametrize("family", ["sd", "sdxl"])
def test_a_merged_lora_gives_the_pictures_of_an_active_one(family: str, tmp_path: Path) -> None:
    save = save_stable_diffusion if family == "sd" else save_stable_diffusion_xl
    build: Any = tiny_models.stable_diffusion if family == "sd" else tiny_models.stable_diffusion_xl
    base = save(tmp_path / "base")
    lora = save_lora(tmp_path / "lora", build().unet, NAME)
    entry = ModelEntry(
        name="tiny",
        source=str(base),
        licence="",
        family=family,
        lora=ExtraRepository(source=str(lora), licence="", files=(NAME,)),
    )
    cpu = torch.device("cpu")
    merged = load_pipeline(entry, cpu, torch.float32, tmp_path / "data", lambda _: None)
    plain = AutoPipelineForImage2Image.from_pretrained(base, safety_checker=None)
    wanted = request(steps=3)
    without = run_library(plain, wanted)
    plain.load_lora_weights(lora, weight_name=NAME)
    active = run_library(plain, wanted)
    assert relative(run_library(merged, wanted), active) <= 1e-4
    assert relative(without, active) > 1e-2
    assert not any("lora" in name for name, _ in merged.unet.named_modules())
