"""A masked request equals the library's pipeline whose latents are blended after each step.

Longer than 300 lines: masks and parts are compared with the same call of the library.
"""

from __future__ import annotations

from dataclasses import replace
from functools import wraps
from typing import Any, get_args

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import avg_pool2d, max_pool2d

from inference.errors import FlatDepthMap
from inference.families.depth2img import Depth2ImgModel
from inference.pipelines import random_tiny
from inference.pipelines.schedulers import new_scheduler
from inference.types import ImageRequest, Part, Scheduler
from inference.worker.messages import Submit
from tests.support.engines import (
    LIBRARY_WARNINGS,
    SCHEDULERS,
    array,
    finish,
    force_library_steps,
    mixed,
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


def left_half(width: int = 64, height: int = 64) -> bytes:
    """White on the left, a grey column, black on the right."""
    grey = np.zeros((height, width), np.uint8)
    grey[:, : width // 2] = 255
    grey[:, width // 2] = 100
    return grey.tobytes()


def library_with_mask(
    pipe: Any, wanted: ImageRequest, part: np.ndarray[Any, Any] | None = None
) -> torch.Tensor:
    """The library's pipeline with the blending of its inpaint pipelines as the step callback.

    See `StableDiffusionInpaintPipeline.__call__`: after each step the latents outside the mask are
    those of the source, with the noise of the next timestep; without noise after the last step.
    With `part`, 8-bit grey, (H, W), the latents beside the part are redrawn, too, and from half of
    the steps on the source's latents are those of the source around the estimate of the part. Not
    with PNDM, which makes no estimate.
    """
    image = Image.frombytes("RGB", (wanted.width, wanted.height), wanted.pixels)
    grey = np.frombuffer(wanted.mask or b"", np.uint8) if part is None else part.ravel()
    pixels = torch.tensor(grey.reshape(1, 1, wanted.height, wanted.width) / 255).float()
    mask = avg_pool2d(pixels, 8)
    if part is not None:
        mask = max_pool2d(mask, 3, stride=1, padding=1)
    generator = torch.Generator("cpu").manual_seed(wanted.seed)
    source_pixels = pipe.image_processor.preprocess(image)
    posterior = pipe.vae.encode(source_pixels).latent_dist
    factor = pipe.vae.config.scaling_factor
    clean = posterior.sample(generator) * factor
    noise = torch.randn(clean.shape, generator=generator)

    def keep(pipe: Any, step: int, _time: Any, values: dict[str, Any]) -> dict[str, Any]:
        nonlocal clean
        taken = pipe.scheduler.timesteps[-pipe.num_timesteps :]
        source = clean
        if step + 1 < len(taken):
            source = pipe.scheduler.add_noise(clean, noise, taken[step + 1 : step + 2])
        is_renewed = part is not None and wanted.scheduler != "pndm"
        if is_renewed and step + 1 == len(taken) // 2:
            estimate = (1 - mask) * clean + mask * originals[-1]
            decoded = pipe.vae.decode(estimate / factor).sample.clamp(-1, 1)
            around = (1 - pixels) * source_pixels + pixels * decoded
            clean = pipe.vae.encode(around).latent_dist.mean * factor
        return {"latents": (1 - mask) * source + mask * values["latents"]}

    own = pipe.scheduler
    pipe.scheduler = new_scheduler(own, wanted.scheduler)
    step, originals = pipe.scheduler.step, []

    # The pipeline passes the generator only to a step whose signature has one.
    @wraps(step)
    def record(output: torch.Tensor, time: Any, sample: torch.Tensor, **options: Any) -> Any:
        estimate = estimate_by_definition(pipe.scheduler, output, time, sample)
        outputs = step(output, time, sample, **options)
        originals.append(outputs[1] if len(outputs) == 2 else estimate)
        return outputs

    pipe.scheduler.step = record
    try:
        latents: torch.Tensor = pipe(
            prompt=wanted.prompt,
            negative_prompt=wanted.negative_prompt or None,
            image=image,
            strength=wanted.strength,
            num_inference_steps=wanted.steps,
            guidance_scale=wanted.guidance_scale,
            generator=torch.Generator("cpu").manual_seed(wanted.seed),
            output_type="latent",
            callback_on_step_end=keep,
        ).images
    finally:
        pipe.scheduler = own
    return latents


def estimate_by_definition(
    scheduler: Any, noise: torch.Tensor, time: torch.Tensor, sample: torch.Tensor
) -> torch.Tensor:
    """The clean latents, if `sample` is made of them and of this noise."""
    one, zero = torch.ones(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    signal = float(scheduler.add_noise(one, zero, time[None]))
    deviation = float(scheduler.add_noise(zero, one, time[None]))
    return (sample - deviation * noise) / signal


@pytest.mark.parametrize("scheduler", SCHEDULERS)
@torch.no_grad()
def test_masked_latents_equal_the_library_s(model: Depth2ImgModel, scheduler: Scheduler) -> None:
    wanted = request(scheduler=scheduler, steps=10, strength=0.7, mask=left_half())
    expected = library_with_mask(model.pipe, wanted)
    assert relative(run_alone(model, wanted), expected) <= ALONE
    assert relative(run_alone(model, request(scheduler=scheduler)), expected) > 1e-2


@pytest.mark.parametrize("part", ["foreground", "background"])
@torch.no_grad()
def test_the_latents_of_a_part_equal_the_library_s(model: Depth2ImgModel, part: Part) -> None:
    wanted = request(scheduler="ddim", part=part, return_mask=True)
    grey = np.frombuffer(result_of(model, wanted).mask, np.uint8).reshape(64, 64)
    expected = library_with_mask(model.pipe, wanted, grey)
    assert relative(run_alone(model, wanted), expected) <= ALONE
    # The source's latents are not renewed for a user's own mask of the same pixels.
    own = replace(wanted, part="everything", mask=grey.tobytes())
    assert relative(run_alone(model, own), expected) > 1e-3


@pytest.mark.parametrize("steps", [3, 5])
@pytest.mark.parametrize("scheduler", get_args(Scheduler))
@torch.no_grad()
def test_a_part_is_renewed_with_every_scheduler_that_makes_an_estimate(
    model: Depth2ImgModel, scheduler: Scheduler, steps: int
) -> None:
    wanted = request(scheduler=scheduler, steps=steps, strength=1.0, part="background")
    one = prepare(model, wanted)
    first = one.state.kept
    while not one.finished:
        model.predict([one])
    assert (one.state.kept is first) == (scheduler == "pndm")
    expected = library_with_mask(model.pipe, wanted, one.mask.pixels.result())
    assert relative(one.state.sample, expected) <= ALONE


@pytest.mark.parametrize("steps", [1, 2])
def test_a_part_in_few_steps_is_renewed_at_most_once(
    model: Depth2ImgModel, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    encodings: list[int] = []
    encode = model.pipe.vae.encode

    def count(pixels: torch.Tensor) -> Any:
        encodings.append(len(pixels))
        return encode(pixels)

    monkeypatch.setattr(model.pipe.vae, "encode", count)
    one = prepare(model, request(part="background", strength=1.0, steps=steps))
    encodings.clear()
    while not one.finished:
        model.predict([one])
    assert encodings == [1] * (steps // 2)


@pytest.mark.parametrize(
    ("value", "pixels"),
    [(float("nan"), 1), (float("inf"), 1), (-float("inf"), 1), (-1.5, 64 * 64)],
    ids=["nan", "inf", "-inf", "black"],
)
def test_a_part_whose_estimate_overflows_the_vae_keeps_the_source_s_latents(
    model: Depth2ImgModel, monkeypatch: pytest.MonkeyPatch, value: float, pixels: int
) -> None:
    wanted = request(part="background", strength=1.0, steps=4)
    one = prepare(model, wanted)
    first = one.state.kept
    decode = model.pipe.vae.decode

    def overflow(latents: torch.Tensor, **_: Any) -> tuple[torch.Tensor]:
        decoded = decode(latents).sample
        decoded.flatten(2)[..., :pixels] = value
        return (decoded,)

    monkeypatch.setattr(model.pipe.vae, "decode", overflow)
    while not one.finished:
        model.predict([one])
    assert one.state.kept is not first
    assert torch.equal(one.state.kept.clean, first.clean)


@torch.no_grad()
def test_schedulers_that_the_library_steps_keep_the_same_latents() -> None:
    model = Depth2ImgModel(random_tiny.build())
    force_library_steps(model)
    for scheduler in ("euler", "unipc"):
        wanted = request(scheduler=scheduler, steps=8, mask=left_half())
        expected = library_with_mask(model.pipe, wanted)
        assert relative(run_alone(model, wanted), expected) <= ALONE


def test_masked_and_unmasked_requests_share_calls_exactly(model: Depth2ImgModel) -> None:
    wanted = mixed(12, seed=4)
    wanted = [
        request(
            one.id,
            seed=number,
            scheduler=one.scheduler,
            steps=one.steps,
            strength=one.strength,
            guidance_scale=one.guidance_scale,
            mask=left_half() if number % 3 == 0 else None,
            part="foreground" if number % 3 == 1 else "everything",
        )
        for number, one in enumerate(wanted)
    ]
    alone = {one.id: run_alone(model, one) for one in wanted}
    batch = [prepare(model, one) for one in wanted]
    while batch:
        model.predict(batch)
        for one in batch:
            if one.finished:
                got = one.state.sample
                assert relative(got, alone[one.request.id]) <= BATCHED
        batch = [one for one in batch if not one.finished]


def result_of(model: Depth2ImgModel, wanted: ImageRequest) -> Any:
    engine, recorder = new_engine(model)
    engine.post(Submit(wanted))
    finish(engine, recorder, [wanted.id])
    return recorder.results.get(wanted.id) or recorder.failures[wanted.id]


def test_outside_the_mask_the_picture_keeps_its_pixels(model: Depth2ImgModel) -> None:
    wanted = request(mask=left_half())
    made = array(result_of(model, wanted))
    own = np.frombuffer(wanted.pixels, np.uint8).reshape(64, 64, 3)
    assert np.array_equal(made[:, 33:], own[:, 33:])
    assert np.abs(made[:, :32].astype(int) - own[:, :32]).mean() > 5


@pytest.mark.parametrize("mask", [bytes(64 * 64), b"\xff" * (64 * 64)], ids=["black", "white"])
def test_a_white_mask_redraws_everything_and_a_black_one_nothing(
    model: Depth2ImgModel, mask: bytes
) -> None:
    made = result_of(model, request(mask=mask)).pixels
    everything = result_of(model, request()).pixels
    assert made == (everything if mask[0] else request().pixels)


def test_the_foreground_and_the_background_are_one_another_s_complement(
    model: Depth2ImgModel,
) -> None:
    masks = {}
    for part in ("foreground", "background"):
        result = result_of(model, request(part=part, steps=0, return_mask=True))
        masks[part] = np.frombuffer(result.mask, np.uint8).astype(int)
        assert result.steps_run == 0
        assert result.pixels == request().pixels
    assert np.abs(masks["foreground"] + masks["background"] - 255).max() <= 1
    assert 0.02 < (masks["foreground"] > 127).mean() < 0.98


def test_a_mask_and_a_part_redraw_what_both_allow(model: Depth2ImgModel) -> None:
    def mask_of(**changes: Any) -> Any:
        result = result_of(model, request(steps=0, return_mask=True, **changes))
        return np.frombuffer(result.mask, np.uint8).astype(int)

    own = np.frombuffer(left_half(), np.uint8).astype(int)
    both = mask_of(mask=left_half(), part="foreground")
    assert np.abs(both - own * mask_of(part="foreground") / 255).max() <= 1
    assert np.array_equal(mask_of(), np.full(64 * 64, 255))


def test_the_threshold_moves_the_border_between_near_and_far(model: Depth2ImgModel) -> None:
    shares = []
    for threshold in (0.2, 0.5, 0.8):
        wanted = request(part="foreground", part_threshold=threshold, steps=0, return_mask=True)
        shares.append(np.frombuffer(result_of(model, wanted).mask, np.uint8).mean())
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > shares[2]


def test_a_flat_depth_map_fails_the_request_for_a_part_only() -> None:
    pipe: Any = random_tiny.build()
    for parameter in pipe.depth_estimator.head.parameters():
        parameter.data.zero_()
    model = Depth2ImgModel(pipe)
    engine, recorder = new_engine(model, row_limit=8)
    engine.post(Submit(request("part", part="background")))
    engine.post(Submit(request("shown", part="background", steps=0, return_mask=True)))
    engine.post(Submit(request("whole")))
    finish(engine, recorder, ["part", "shown", "whole"])
    assert set(recorder.results) == {"whole"}
    assert all(isinstance(error, FlatDepthMap) for error in recorder.failures.values())


@torch.no_grad()
def test_a_structure_steers_instead_of_the_picture(model: Depth2ImgModel) -> None:
    """The library's pipeline with the depth map of another picture."""
    other = photo(64, 64, seed=99)
    wanted = request(structure=other.tobytes())
    pipe = model.pipe
    values = pipe.feature_extractor(images=[other], return_tensors="pt").pixel_values
    expected = pipe(
        prompt=wanted.prompt,
        image=Image.frombytes("RGB", (64, 64), wanted.pixels),
        depth_map=pipe.depth_estimator(values).predicted_depth,
        strength=wanted.strength,
        num_inference_steps=wanted.steps,
        guidance_scale=wanted.guidance_scale,
        generator=torch.Generator("cpu").manual_seed(wanted.seed),
        output_type="latent",
    ).images
    assert relative(run_alone(model, wanted), expected) <= ALONE
    assert relative(run_alone(model, request()), expected) > 1e-4
