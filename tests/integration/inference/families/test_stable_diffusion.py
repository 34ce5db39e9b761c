"""The families sd and sdxl give the library's pictures, alone and in a mixed batch."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    StableDiffusionControlNetPipeline,
    StableDiffusionPipeline,
    StableDiffusionXLControlNetUnionPipeline,
    StableDiffusionXLPipeline,
)
from PIL import Image

from inference.families.sd import StableDiffusionModel
from inference.families.sdxl import DEPTH_MODE, StableDiffusionXLModel
from inference.pipelines.schedulers import new_scheduler
from inference.types import ImageRequest
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

FROM_NOISE = {
    "StableDiffusionImg2ImgPipeline": StableDiffusionPipeline,
    "StableDiffusionControlNetImg2ImgPipeline": StableDiffusionControlNetPipeline,
    "StableDiffusionXLImg2ImgPipeline": StableDiffusionXLPipeline,
    "StableDiffusionXLControlNetUnionImg2ImgPipeline": StableDiffusionXLControlNetUnionPipeline,
}
"""The library's text-to-image pipeline for each image-to-image pipeline."""

BUILD: dict[str, Any] = {
    "sd": lambda: StableDiffusionModel(tiny_models.stable_diffusion()),
    "sd-tiny-vae": lambda: StableDiffusionModel(tiny_models.stable_diffusion(tiny_vae=True)),
    "sd-control": lambda: StableDiffusionModel(
        tiny_models.stable_diffusion(control=True), tiny_models.depth_anything()
    ),
    "sdxl": lambda: StableDiffusionXLModel(tiny_models.stable_diffusion_xl()),
    "sdxl-control": lambda: StableDiffusionXLModel(
        tiny_models.stable_diffusion_xl(control=True), tiny_models.depth_anything()
    ),
}
BUILT: dict[str, Any] = {}


def built(name: str) -> Any:
    """The model of that name; it is built once."""
    if name not in BUILT:
        BUILT[name] = BUILD[name]()
    return BUILT[name]


ALL = sorted(BUILD)
CONTROLLED = [name for name in ALL if name.endswith("control")]
# The VAE takes no part in the steps.
WITHOUT_TINY_VAE = pytest.mark.parametrize(
    "model", [name for name in ALL if name != "sd-tiny-vae"], indirect=True
)


@pytest.fixture(params=ALL)
def model(request: pytest.FixtureRequest) -> Any:
    return built(request.param)


@pytest.fixture(params=CONTROLLED)
def controlled(request: pytest.FixtureRequest) -> Any:
    return built(request.param)


def run_library(model: Any, wanted: ImageRequest, output_type: str = "latent") -> Any:
    """The picture of the library's own pipeline: latents, or pixels in 0..1."""
    pipe = model.pipe
    options: dict[str, Any] = {}
    steered = model.encoder.depth is not None and bool(wanted.structure or wanted.pixels)
    if not wanted.pixels:
        kind: Any = FROM_NOISE[type(pipe).__name__]
        if model.encoder.depth is not None and not steered:
            kind = StableDiffusionXLPipeline if "XL" in kind.__name__ else StableDiffusionPipeline
        parts = {key: pipe.components[key] for key in pipe.components if key != "controlnet"}
        if steered:
            parts["controlnet"] = pipe.controlnet
        if "XL" not in kind.__name__:
            parts["requires_safety_checker"] = False
        pipe = kind(**parts)
        pipe.set_progress_bar_config(disable=True)
        options |= {"width": wanted.width, "height": wanted.height}
    else:
        size = (wanted.width, wanted.height)
        options |= {
            "image": Image.frombytes("RGB", size, wanted.pixels),
            "strength": wanted.strength,
        }
    if steered:
        depth = prepare(model, wanted).tiles[0].encoded.depth
        picture = ((depth + 1) / 2).expand(-1, 3, -1, -1)
        options["control_image" if wanted.pixels else "image"] = picture
        options["controlnet_conditioning_scale"] = (
            1.0 if wanted.control_scale is None else wanted.control_scale
        )
        if "XL" in type(pipe).__name__:
            options["control_mode"] = DEPTH_MODE
            if not wanted.pixels:
                options["control_image"] = options.pop("image")
    pipe.scheduler = new_scheduler(model.pipe.scheduler, wanted.scheduler)
    return pipe(
        prompt=wanted.prompt,
        negative_prompt=wanted.negative_prompt or None,
        num_inference_steps=wanted.steps,
        guidance_scale=wanted.guidance_scale,
        generator=torch.Generator("cpu").manual_seed(wanted.seed),
        output_type=output_type,
        **options,
    ).images


def assert_equals_library(model: Any, **changes: Any) -> None:
    wanted = request(steps=4, **changes)
    own = model.pipe.scheduler
    try:
        expected = run_library(model, wanted)
    finally:
        model.pipe.scheduler = own
    assert relative(run_alone(model, wanted), expected) <= ALONE


@pytest.mark.parametrize(
    ("guidance", "negative", "width"), [(1.0, "", 64), (5.0, "", 64), (5.0, "blue", 128)]
)
def test_image_to_image_equals_the_library_s(
    model: Any, guidance: float, negative: str, width: int
) -> None:
    assert_equals_library(model, guidance_scale=guidance, negative_prompt=negative, width=width)


@WITHOUT_TINY_VAE
@pytest.mark.parametrize(
    ("scheduler", "strength"),
    [("euler", 0.4), ("dpmpp_2m_karras", 1.0), ("lcm", 1.0), ("lcm", 0.5), ("euler_trailing", 1.0)],
)
def test_image_to_image_equals_the_library_s_with_each_scheduler(
    model: Any, scheduler: Any, strength: float
) -> None:
    assert_equals_library(model, scheduler=scheduler, strength=strength, guidance_scale=1.0)


@WITHOUT_TINY_VAE
@pytest.mark.parametrize(
    ("scheduler", "guidance"),
    [(None, 5.0), ("dpmpp_2m_karras", 1.0), ("euler", 5.0), ("lcm", 1.0), ("euler_trailing", 1.0)],
)
def test_text_to_image_equals_the_library_s(model: Any, scheduler: Any, guidance: float) -> None:
    assert_equals_library(
        model, pixels=b"", width=64, height=128, scheduler=scheduler, guidance_scale=guidance
    )


@pytest.mark.parametrize(("scale", "source"), [(0.3, True), (1.0, True), (0.65, False)])
def test_a_structure_steers_by_the_control_scale(
    controlled: Any, scale: float, *, source: bool
) -> None:
    changes: dict[str, Any] = {} if source else {"pixels": b""}
    structure = photo(64, 64, seed=7).tobytes()
    assert_equals_library(controlled, control_scale=scale, structure=structure, **changes)


def test_the_control_scale_and_the_structure_matter(controlled: Any) -> None:
    plain = run_alone(controlled, request(steps=4))
    weak = run_alone(controlled, request(steps=4, control_scale=0.3))
    other = run_alone(controlled, request(steps=4, structure=photo(64, 64, seed=7).tobytes()))
    assert relative(weak, plain) > 1e-3
    assert relative(other, plain) > 1e-3


@pytest.mark.parametrize("changes", [{}, {"pixels": b""}], ids=["picture", "text only"])
def test_the_finished_picture_equals_the_library_s(model: Any, changes: dict[str, Any]) -> None:
    wanted = request(steps=3, **changes)
    engine, recorder = new_engine(model)
    engine.post(Submit(wanted))
    finish(engine, recorder, ["one"])
    own = model.pipe.scheduler
    expected = (run_library(model, wanted, "np")[0] * 255).round().astype(np.uint8)
    model.pipe.scheduler = own
    got = array(recorder.results["one"]).astype(int)
    # A value half-way between two shades may be rounded either way.
    assert np.abs(got - expected.astype(int)).max() <= 1
    assert got.std() > 1


def mixed(model: Any, number: int, widths: Sequence[int] = (64, 64, 128)) -> list[ImageRequest]:
    """Requests of two sizes with random settings, some of them from text only."""
    rng = random.Random(5)
    made = []
    for index in range(number):
        changes: dict[str, Any] = {}
        if rng.random() < 0.25:
            changes["pixels"] = b""
        if model.encoder.depth is not None:
            changes["control_scale"] = rng.choice([None, 0.3, 0.7, 1.0])
        made.append(
            request(
                f"r{index}",
                width=rng.choice(widths),
                prompt=rng.choice(["a fox", "a (red:1.4) boat", "glass"]),
                negative_prompt=rng.choice(["", "blue"]),
                strength=rng.choice([0.5, 0.8, 1.0]),
                steps=rng.choice([3, 4, 5]),
                guidance_scale=rng.choice([1.0, 3.0, 7.5]),
                seed=rng.randrange(2**63),
                scheduler=rng.choice([None, "euler", "dpmpp_2m_karras", "lcm"]),
                **changes,
            )
        )
    return made


@WITHOUT_TINY_VAE
def test_requests_in_a_mixed_batch_equal_themselves_alone(model: Any) -> None:
    """At least eight of them run together, at different steps."""
    wanted = mixed(model, 14, widths=(64, 64, 64, 64, 128))
    alone = {one.id: run_alone(model, one) for one in wanted}
    waiting, together = list(wanted), 0
    done: dict[str, torch.Tensor] = {}
    running: list[Any] = []
    while waiting or running:
        running += [prepare(model, one) for one in waiting[:6]]
        del waiting[:6]
        key = model.batch_key(running[0].request)
        batch = [one for one in running if model.batch_key(one.request) == key]
        if len({one.step for one in batch}) > 1:
            together = max(together, len(batch))
        model.predict(batch)
        done |= {one.request.id: one.state.sample for one in batch if one.finished}
        running = [one for one in running if one not in batch] + batch
        running = [one for one in running if not one.finished]
    assert together >= 8
    assert max(relative(done[id_], alone[id_]) for id_ in alone) <= BATCHED


@pytest.mark.parametrize("model", ["sd", "sdxl-control"], indirect=True)
def test_thirty_two_mixed_requests_take_at_most_two_fifths_of_the_calls(model: Any) -> None:
    wanted = mixed(model, 32)
    one_at_a_time = sum(model.sampler.plan(one).steps for one in wanted)
    model.denoiser_calls = 0
    engine, recorder = new_engine(model, row_limit=32, admission_limit=4)
    for one in wanted:
        engine.post(Submit(one))
    finish(engine, recorder, [one.id for one in wanted])
    assert not recorder.failures
    assert model.denoiser_calls <= 0.4 * one_at_a_time


def test_a_controlnet_s_depth_map_is_returned(controlled: Any) -> None:
    engine, recorder = new_engine(controlled)
    engine.post(Submit(request("with", steps=2, return_depth=True)))
    finish(engine, recorder, ["with"])
    depth = recorder.results["with"].depth
    assert depth is not None
    assert len(depth) == 64 * 64
    assert np.frombuffer(depth, np.uint8).min() == 0
    assert np.frombuffer(depth, np.uint8).max() == 255


@pytest.mark.parametrize("name", ["sd", "sdxl"])
def test_a_unet_with_other_inputs_is_not_supported(name: str) -> None:
    pipe = built(name).pipe
    assert type(built(name)).supports(pipe)
    before = pipe.unet.config.in_channels
    pipe.unet.register_to_config(in_channels=9)
    try:
        assert not type(built(name)).supports(pipe)
    finally:
        pipe.unet.register_to_config(in_channels=before)
