"""Masked requests of Stable Diffusion and SDXL equal the library's inpaint pipelines."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionInpaintPipeline, StableDiffusionXLInpaintPipeline
from PIL import Image

from inference.families.sd import StableDiffusionModel
from inference.families.sdxl import StableDiffusionXLModel
from inference.pipelines.schedulers import new_scheduler
from inference.types import Scheduler
from tests.support import tiny_models
from tests.support.engines import LIBRARY_WARNINGS, relative, run_alone
from tests.support.requests import request

pytestmark = LIBRARY_WARNINGS

ALONE = 1e-5

INPAINT: dict[str, Any] = {
    "sd": (StableDiffusionInpaintPipeline, StableDiffusionModel, tiny_models.stable_diffusion),
    "sdxl": (
        StableDiffusionXLInpaintPipeline,
        StableDiffusionXLModel,
        tiny_models.stable_diffusion_xl,
    ),
}


@pytest.mark.parametrize("family", INPAINT)
@pytest.mark.parametrize("scheduler", ["ddim", "euler"])
@torch.no_grad()
def test_masked_latents_equal_the_library_s_inpaint_pipeline(
    family: str, scheduler: Scheduler
) -> None:
    """Of a mask whose edges are those of latents: the library rounds masks to whole latents."""
    kind, model_kind, build = INPAINT[family]
    model = model_kind(build())
    parts = dict(model.pipe.components)
    if family == "sd":
        parts["requires_safety_checker"] = False
    library = kind(**parts)
    library.set_progress_bar_config(disable=True)
    library.scheduler = new_scheduler(library.scheduler, scheduler)
    grey = np.zeros((64, 64), np.uint8)
    grey[:, :32] = 255
    wanted = request(scheduler=scheduler, steps=8, strength=0.75, mask=grey.tobytes())
    expected = library(
        prompt=wanted.prompt,
        image=Image.frombytes("RGB", (64, 64), wanted.pixels),
        mask_image=Image.fromarray(grey, "L"),
        width=64,
        height=64,
        strength=wanted.strength,
        num_inference_steps=wanted.steps,
        guidance_scale=wanted.guidance_scale,
        generator=torch.Generator("cpu").manual_seed(wanted.seed),
        output_type="latent",
    ).images
    assert relative(run_alone(model, wanted), expected) <= ALONE
    whole = request(scheduler=scheduler, steps=8, strength=0.75)
    assert relative(run_alone(model, whole), expected) > 1e-2
