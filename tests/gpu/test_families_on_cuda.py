"""Every model family on a real GPU in half precision, with masks and tiles. Skipped without one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from inference.families.depth2img import Depth2ImgModel
from inference.families.flux2_klein import Flux2KleinModel
from inference.families.sd import StableDiffusionModel
from inference.families.sdxl import StableDiffusionXLModel
from inference.pipelines import random_klein, random_tiny
from inference.types import ImageRequest, Part
from tests.support import tiny_models
from tests.support.engines import LIBRARY_WARNINGS, mixed, picture_of, worst_of_a_batch
from tests.support.requests import request

pytestmark = [
    LIBRARY_WARNINGS,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

SIZE = 128


def depth() -> Any:
    estimator = tiny_models.depth_anything()
    estimator.model.to("cuda")
    return estimator


def half(pipe: Any) -> Any:
    return pipe.to("cuda", torch.float16)


BUILD: dict[str, Callable[[], Any]] = {
    "depth2img": lambda: Depth2ImgModel(half(random_tiny.build())),
    "sd": lambda: StableDiffusionModel(half(tiny_models.stable_diffusion())),
    "sd-tiny-vae": lambda: StableDiffusionModel(half(tiny_models.stable_diffusion(tiny_vae=True))),
    "sd-control": lambda: StableDiffusionModel(
        half(tiny_models.stable_diffusion(control=True)), depth()
    ),
    "sdxl": lambda: StableDiffusionXLModel(half(tiny_models.stable_diffusion_xl())),
    "sdxl-control": lambda: StableDiffusionXLModel(
        half(tiny_models.stable_diffusion_xl(control=True)), depth()
    ),
}


@pytest.fixture(params=BUILD)
def model(request: pytest.FixtureRequest) -> Any:
    return BUILD[request.param]()


def masked(id_: str, part: Part = "everything", **changes: Any) -> ImageRequest:
    """The left half is redrawn, or a part of the depth map within it."""
    grey = np.zeros((SIZE, SIZE), np.uint8)
    grey[:, : SIZE // 2] = 255
    return request(id_, width=SIZE, height=SIZE, mask=grey.tobytes(), part=part, **changes)


def test_a_batched_picture_equals_the_picture_alone(model: Any) -> None:
    assert worst_of_a_batch(model, mixed(8, sizes=((64, 64), (128, 64)))) >= 35


def test_masks_and_tiles_in_a_batch_equal_those_alone(model: Any) -> None:
    wanted = [
        masked("mask", seed=1),
        request("tiles", width=SIZE, height=SIZE, tile=(64, 64), seed=2),
        request("plain", width=SIZE, height=SIZE, seed=3),
    ]
    if isinstance(model, Depth2ImgModel) or model.encoder.depth is not None:
        wanted.append(masked("part", "foreground", seed=4, part_threshold=0.5))
    assert worst_of_a_batch(model, wanted) >= 35


def test_pixels_outside_a_mask_are_kept(model: Any) -> None:
    wanted = masked("mask", seed=1)
    source = np.frombuffer(wanted.pixels, np.uint8).reshape(SIZE, SIZE, 3)
    assert np.array_equal(picture_of(model, wanted)[:, SIZE // 2 :], source[:, SIZE // 2 :])


def test_klein_makes_equal_pictures_in_a_batch_and_alone() -> None:
    pipe: Any = random_klein.build(distilled=False).to("cuda", torch.bfloat16)
    pipe.set_progress_bar_config(disable=True)
    changed = request("edit", steps=4, strength=1.0, guidance_scale=3.0)
    wanted = [changed, replace(changed, id="text", pixels=b"", seed=1), masked("mask", steps=4)]
    assert worst_of_a_batch(Flux2KleinModel(pipe), wanted) >= 35
