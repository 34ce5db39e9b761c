"""Requests in tiles equal MultiDiffusion with the library's own parts, alone and in any batch."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from inference.errors import InferenceError
from inference.families.denoising.tiles import TileBlend
from inference.families.depth2img import Depth2ImgModel
from inference.families.sd import StableDiffusionModel
from inference.families.sdxl import StableDiffusionXLModel
from inference.pipelines import random_tiny
from inference.pipelines.schedulers import new_scheduler
from inference.types import ImageRequest, Scheduler
from inference.worker.messages import Submit
from tests.support import tiny_models
from tests.support.engines import (
    LIBRARY_WARNINGS,
    SCHEDULERS,
    finish,
    force_library_steps,
    new_engine,
    picture_of,
    prepare,
    relative,
    result_picture,
    run_alone,
)
from tests.support.requests import request

pytestmark = LIBRARY_WARNINGS

ALONE = 1e-5
BATCHED = 1e-4

TILE = 64
# Left and top of the tiles of 128 × 96 pixels.
PLACES = [(left, top) for top in (0, 32) for left in (0, 32, 64)]


@pytest.fixture(scope="module")
def model() -> Depth2ImgModel:
    pipe: Any = random_tiny.build()
    pipe.set_progress_bar_config(disable=True)
    return Depth2ImgModel(pipe)


def tiled(id_: str = "one", **changes: Any) -> ImageRequest:
    """A request of 128 × 96 pixels in six tiles of 64 × 64."""
    return request(id_, width=128, height=96, tile=(TILE, TILE), **changes)


class Canvas:
    """A weighted mean of tiles, without the code under test."""

    def __init__(self, channels: int) -> None:
        line = [math.sin(math.pi * (index + 0.5) / 8) ** 2 for index in range(8)]
        self.window = torch.tensor(line)[:, None] * torch.tensor(line)
        self.sum = torch.zeros(1, channels, 12, 16)
        self.weights = torch.zeros(12, 16)

    def add(self, left: int, top: int, values: torch.Tensor) -> None:
        left, top = left // 8, top // 8
        self.sum[:, :, top : top + 8, left : left + 8] += self.window * values
        self.weights[top : top + 8, left : left + 8] += self.window

    @property
    def mean(self) -> torch.Tensor:
        return self.sum / self.weights


def multidiffusion(pipe: Any, wanted: ImageRequest) -> torch.Tensor:
    """MultiDiffusion for depth-to-image, one tile at a time; see
    `StableDiffusionDepth2ImgPipeline.__call__` and `StableDiffusionPanoramaPipeline.__call__`."""
    image = Image.frombytes("RGB", (wanted.width, wanted.height), wanted.pixels)
    crops = [image.crop((left, top, left + TILE, top + TILE)) for left, top in PLACES]
    means, deviations = Canvas(4), Canvas(4)
    depths = []
    for (left, top), crop in zip(PLACES, crops, strict=True):
        posterior = pipe.vae.encode(pipe.image_processor.preprocess(crop)).latent_dist
        means.add(left, top, posterior.mean)
        deviations.add(left, top, posterior.std)
        depths.append(
            pipe.prepare_depth_map(crop, None, 1, True, torch.float32, torch.device("cpu"))
        )
    generator = torch.Generator("cpu").manual_seed(wanted.seed)
    sample = torch.randn(1, 4, 12, 16, generator=generator)
    noise = torch.randn(1, 4, 12, 16, generator=generator)
    clean = pipe.vae.config.scaling_factor * (means.mean + deviations.mean * sample)
    embeddings = torch.cat(
        pipe.encode_prompt(wanted.prompt, "cpu", 1, True, wanted.negative_prompt or None)[::-1]
    )
    own = pipe.scheduler
    pipe.scheduler = scheduler = new_scheduler(own, wanted.scheduler)
    try:
        scheduler.set_timesteps(wanted.steps)
        times, _ = pipe.get_timesteps(wanted.steps, wanted.strength, "cpu")
    finally:
        pipe.scheduler = own
    latents: torch.Tensor = scheduler.add_noise(clean, noise, times[:1])
    for time in times:
        outputs = Canvas(4)
        scaled = scheduler.scale_model_input(latents, time)
        for (left, top), depth in zip(PLACES, depths, strict=True):
            view = scaled[:, :, top // 8 : top // 8 + 8, left // 8 : left // 8 + 8]
            inputs = torch.cat([torch.cat([view, view]), depth], dim=1)
            negative, positive = pipe.unet(
                inputs, time, encoder_hidden_states=embeddings
            ).sample.chunk(2)
            outputs.add(left, top, negative + wanted.guidance_scale * (positive - negative))
        latents = scheduler.step(outputs.mean, time, latents).prev_sample
    return latents


@pytest.mark.parametrize("scheduler", SCHEDULERS)
@torch.no_grad()
def test_latents_equal_multidiffusion_with_the_library_s_parts(
    model: Depth2ImgModel, scheduler: Scheduler
) -> None:
    wanted = tiled(scheduler=scheduler, strength=0.4, negative_prompt="blue")
    expected = multidiffusion(model.pipe, wanted)
    assert relative(run_alone(model, wanted), expected) <= ALONE


@torch.no_grad()
def test_steps_of_the_library_s_scheduler_equal_it_too() -> None:
    model = Depth2ImgModel(random_tiny.build())
    force_library_steps(model)
    wanted = tiled(scheduler="unipc", strength=0.5)
    assert relative(run_alone(model, wanted), multidiffusion(model.pipe, wanted)) <= ALONE


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_one_tile_is_the_request_without_tiles(model: Depth2ImgModel, scheduler: Scheduler) -> None:
    wanted = request(scheduler=scheduler, strength=0.3, steps=10)
    in_tiles = request(scheduler=scheduler, strength=0.3, steps=10, tile=(64, 64))
    assert relative(run_alone(model, in_tiles), run_alone(model, wanted)) <= ALONE
    if scheduler == SCHEDULERS[0]:
        assert np.array_equal(picture_of(model, in_tiles), picture_of(model, wanted))


BUILD: dict[str, Any] = {
    "depth2img": lambda: Depth2ImgModel(random_tiny.build()),
    "sd": lambda: StableDiffusionModel(tiny_models.stable_diffusion()),
    "sd-control": lambda: StableDiffusionModel(
        tiny_models.stable_diffusion(control=True), tiny_models.depth_anything()
    ),
    "sd-tiny-vae": lambda: StableDiffusionModel(tiny_models.stable_diffusion(tiny_vae=True)),
    "sdxl-control": lambda: StableDiffusionXLModel(
        tiny_models.stable_diffusion_xl(control=True), tiny_models.depth_anything()
    ),
}


@pytest.mark.parametrize("family", BUILD)
def test_tiles_that_share_calls_with_other_requests_equal_those_alone(family: str) -> None:
    model = BUILD[family]()
    wanted = [
        tiled("tiles", seed=1, steps=6, strength=0.5),
        tiled("plain tiles", seed=2, steps=8, strength=0.3, guidance_scale=1.0),
        *(request(f"r{n}", seed=n, steps=6, guidance_scale=1.0 + 4 * (n % 2)) for n in range(3)),
    ]
    latents = {one.id: run_alone(model, one) for one in wanted}
    decode, got = model.decode, {}

    def keep(one: Any) -> Any:
        got[one.request.id] = one.state.sample
        return decode(one)

    model.decode = keep
    engine, recorder = new_engine(model, row_limit=10)
    for one in wanted:
        engine.post(Submit(one))
    finish(engine, recorder, latents)
    assert not recorder.failures
    for id_, alone in latents.items():
        assert relative(got[id_], alone) <= BATCHED


def test_the_picture_of_a_flat_prediction_has_no_borders(model: Depth2ImgModel) -> None:
    """Blending keeps what all tiles agree on: the sum of the weights is divided out."""
    one = prepare(model, tiled())
    assert one.layout is not None
    blend = TileBlend(one.layout)
    for _ in PLACES:
        blend.add(torch.full((1, 4, 8, 8), 3.0))
    assert torch.allclose(blend.mean(), torch.full((1, 4, 12, 16), 3.0))


def test_every_tile_is_conditioned_on_its_own_depth(model: Depth2ImgModel) -> None:
    wanted = tiled()
    one = prepare(model, wanted)
    image = Image.frombytes("RGB", (128, 96), wanted.pixels)
    for tile, (left, top) in zip(one.tiles, PLACES, strict=True):
        crop = image.crop((left, top, left + TILE, top + TILE))
        alone = prepare(model, request(pixels=crop.tobytes()))
        assert torch.equal(tile.conditions[0], alone.tiles[0].conditions[0])


def test_sdxl_is_told_the_size_of_a_tile() -> None:
    one = prepare(BUILD["sdxl-control"](), tiled())
    sizes = [tile.conditions[0].tolist() for tile in one.tiles]
    assert sizes == [[[TILE, TILE, 0, 0, TILE, TILE]]] * len(PLACES)
    # ControlNet-Union separates the rows of requests by these numbers.
    assert len({float(tile.conditions[-1]) for tile in one.tiles}) == len(PLACES)


def test_encoder_and_decoder_see_one_tile_at_a_time(model: Depth2ImgModel) -> None:
    seen: list[tuple[int, ...]] = []
    vae = model.pipe.vae
    encode, decode = vae.encode, vae.decode

    def record(call: Any, values: torch.Tensor, **options: Any) -> Any:
        seen.append(tuple(values.shape))
        return call(values, **options)

    vae.encode = lambda values, **options: record(encode, values, **options)
    vae.decode = lambda values, **options: record(decode, values, **options)
    try:
        picture_of(model, tiled(seed=77))
    finally:
        vae.encode, vae.decode = encode, decode
    assert seen == [(1, 3, 64, 64)] * 6 + [(1, 4, 8, 8)] * 6


@pytest.mark.parametrize(
    "changes",
    [
        {"mask": bytes(128 * 96)},
        {"part": "foreground"},
        {"structure": bytes(128 * 96 * 3)},
        {"pixels": b""},
        {"tile": (60, 64)},
        {"tile": (192, 64)},
    ],
    ids=["mask", "part", "structure", "text", "not a multiple", "larger than the picture"],
)
def test_a_request_that_tiles_cannot_serve_fails_alone_with_a_sentence(
    model: Depth2ImgModel, changes: dict[str, Any]
) -> None:
    wrong = request("wrong", width=128, height=96, **{"tile": (64, 64), **changes})
    engine, recorder = new_engine(model, row_limit=8)
    for one in (wrong, request("other", steps=2)):
        engine.post(Submit(one))
    finish(engine, recorder, ["wrong", "other"])
    assert recorder.results.keys() == {"other"}
    assert isinstance(recorder.failures["wrong"], InferenceError)
    assert "tiles" in str(recorder.failures["wrong"]).lower()


def test_half_precision_gives_a_picture_like_that_in_full_precision(
    model: Depth2ImgModel,
) -> None:
    wanted = tiled(strength=0.4)
    half = Depth2ImgModel(random_tiny.build().to(dtype=torch.bfloat16))
    difference = np.abs(picture_of(half, wanted) - picture_of(model, wanted))
    assert difference.mean() < 8


def test_the_depth_map_of_a_picture_in_tiles_is_left_out(model: Depth2ImgModel) -> None:
    engine, recorder = new_engine(model)
    engine.post(Submit(tiled(steps=2, return_depth=True)))
    finish(engine, recorder, ["one"])
    assert recorder.results["one"].depth is None
    assert result_picture(recorder, "one").shape == (96, 128, 3)
