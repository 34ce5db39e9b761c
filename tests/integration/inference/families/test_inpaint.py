"""Masked requests of Stable Diffusion, SDXL and klein equal the library's inpaint pipelines."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    Flux2KleinInpaintPipeline,
    StableDiffusionInpaintPipeline,
    StableDiffusionXLInpaintPipeline,
)
from PIL import Image

from inference.families.flux2_klein import Flux2KleinModel
from inference.families.sd import StableDiffusionModel
from inference.families.sdxl import StableDiffusionXLModel
from inference.pipelines import random_klein
from inference.pipelines.schedulers import new_scheduler
from inference.types import ImageRequest, Picture, Scheduler
from inference.worker.messages import Submit
from tests.support import tiny_models
from tests.support.engines import (
    LIBRARY_WARNINGS,
    array,
    finish,
    new_engine,
    prepare,
    relative,
    run_alone,
)
from tests.support.pictures import photo
from tests.support.requests import request

pytestmark = LIBRARY_WARNINGS

ALONE = 1e-5
BATCHED = 1e-4

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


@pytest.fixture(scope="module", params=[True, False], ids=["distilled", "base"])
def klein(request: pytest.FixtureRequest) -> Flux2KleinModel:
    pipe: Any = random_klein.build(distilled=request.param)
    pipe.set_progress_bar_config(disable=True)
    return Flux2KleinModel(pipe)


def left_tokens(width: int, height: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """White on the left, black on the right, divided between two tokens of 16 pixels."""
    grey = np.zeros((height, width), np.uint8)
    grey[:, : width // 32 * 16] = 255
    return grey


def klein_library(model: Flux2KleinModel, wanted: ImageRequest, output_type: str) -> Any:
    """The library's own call for one masked request."""
    assert wanted.mask is not None
    size = (wanted.width, wanted.height)
    pipe = Flux2KleinInpaintPipeline(
        **model.pipe.components, is_distilled=model.pipe.config.is_distilled
    )
    pipe.set_progress_bar_config(disable=True)
    further = [
        Image.frombytes("RGB", (each.width, each.height), each.pixels) for each in wanted.references
    ]
    return pipe(
        prompt=wanted.prompt,
        image=Image.frombytes("RGB", size, wanted.pixels),
        mask_image=Image.frombytes("L", size, wanted.mask),
        image_reference=further or None,
        strength=1.0,
        num_inference_steps=wanted.steps,
        guidance_scale=wanted.guidance_scale,
        generator=torch.Generator("cpu").manual_seed(wanted.seed),
        output_type=output_type,
    ).images


def klein_request(id_: str, size: tuple[int, int], **changes: Any) -> ImageRequest:
    """A request of klein whose left half is redrawn."""
    width, height = size
    mask = left_tokens(width, height).tobytes()
    options = {"strength": 1.0, "steps": 4, "guidance_scale": 3.0, "mask": mask, **changes}
    return request(id_, width=width, height=height, **options)


def klein_latents(model: Flux2KleinModel, one: Any) -> torch.Tensor:
    return model.vae_latents(one.request, one.latents)


@pytest.mark.parametrize("references", [0, 1], ids=["one picture", "two pictures"])
@pytest.mark.parametrize("size", [(64, 64), (96, 64)], ids=["square", "landscape"])
def test_masked_edits_equal_the_library_s_inpaint_pipeline(
    klein: Flux2KleinModel, references: int, size: tuple[int, int]
) -> None:
    further = Picture(pixels=photo(64, 96, seed=9).tobytes(), width=64, height=96)
    wanted = klein_request("one", size, references=(further,) * references, seed=3)
    one = prepare(klein, wanted)
    while not one.finished:
        klein.predict([one])
    expected = klein_library(klein, wanted, "latent")
    assert relative(klein_latents(klein, one), expected) <= ALONE
    whole = prepare(klein, replace(wanted, mask=None))
    while not whole.finished:
        klein.predict([whole])
    assert relative(klein_latents(klein, whole), expected) > 1e-2


def test_masked_and_whole_edits_share_calls_exactly(klein: Flux2KleinModel) -> None:
    wanted = [
        replace(
            klein_request(f"r{n}", (64, 64), seed=n, steps=3 + n % 2),
            mask=left_tokens(64, 64).tobytes() if n % 2 else None,
        )
        for n in range(8)
    ]
    alone = {}
    for each in wanted:
        one = prepare(klein, each)
        while not one.finished:
            klein.predict([one])
        alone[each.id] = klein_latents(klein, one)
    running = [prepare(klein, each) for each in wanted]
    klein.predict(running[:4])
    while running:
        klein.predict(running)
        for one in running:
            if one.finished:
                got = klein_latents(klein, one)
                assert relative(got, alone[one.request.id]) <= BATCHED
        running = [one for one in running if not one.finished]


def test_outside_the_mask_an_edit_keeps_its_pixels(klein: Flux2KleinModel) -> None:
    wanted = klein_request("one", (64, 64), return_mask=True)
    engine, recorder = new_engine(klein)
    engine.post(Submit(wanted))
    finish(engine, recorder, ["one"])
    result = recorder.results["one"]
    made = array(result)
    own = np.frombuffer(wanted.pixels, np.uint8).reshape(64, 64, 3)
    assert np.array_equal(made[:, 32:], own[:, 32:])
    assert np.abs(made[:, :32].astype(int) - own[:, :32]).mean() > 5
    assert result.mask == wanted.mask


def test_a_part_that_is_found_by_depth_fails_the_edit(klein: Flux2KleinModel) -> None:
    engine, recorder = new_engine(klein)
    engine.post(Submit(klein_request("one", (64, 64), mask=None, part="background")))
    finish(engine, recorder, ["one"])
    assert "no depth map" in str(recorder.failures["one"])
