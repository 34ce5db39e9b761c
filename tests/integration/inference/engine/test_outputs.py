"""What the depth-to-image family returns: previews, depth maps, decoded pictures, caching."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from inference.engine.sampling import SLOTS
from inference.errors import NonFiniteOutput
from inference.families.depth2img import Depth2ImgModel
from inference.families.latent_preview import LatentPreview
from inference.pipelines import random_tiny
from inference.worker.messages import Submit
from tests.support.engines import (
    LIBRARY_WARNINGS,
    finish,
    new_engine,
    picture_of,
    prepare,
    run_alone,
)
from tests.support.requests import request

pytestmark = LIBRARY_WARNINGS


def test_a_repeated_picture_and_prompt_are_not_encoded_again(model: Depth2ImgModel) -> None:
    work: list[str] = []
    for part in ("text_encoder", "depth_estimator"):
        getattr(model.pipe, part).register_forward_hook(lambda *_, part=part: work.append(part))
    model.pipe.vae.encoder.register_forward_hook(lambda *_: work.append("vae"))
    prepare(model, request(negative_prompt="blue"))
    assert sorted(work) == ["depth_estimator", "text_encoder", "vae"]
    work.clear()
    pixels = request().pixels
    prepare(model, request("again", pixels=pixels, negative_prompt="blue", seed=99, strength=0.4))
    assert work == []


def test_equal_pixels_of_another_size_are_another_picture_for_the_cache(
    model: Depth2ImgModel,
) -> None:
    pixels = request(width=128).pixels
    for width, height in ((128, 64), (64, 128)):
        wanted = request(width=width, height=height, pixels=pixels)
        # Its picture and its depth map have the size of this request.
        one = prepare(model, wanted)
        assert tuple(one.state.sample.shape[2:]) == (height // 8, width // 8)
        fresh = Depth2ImgModel(model.pipe, cache_bytes=0)
        assert torch.equal(run_alone(model, wanted), run_alone(fresh, wanted))


def test_the_cache_stays_within_its_limit() -> None:
    limit = 100_000
    model = Depth2ImgModel(random_tiny.build(), cache_bytes=limit)
    for number in range(40):
        prepare(model, request(f"r{number}", seed=number, prompt=f"prompt {number}"))
        assert model.encoder.cache.currsize <= limit
    assert model.encoder.cache.currsize > limit / 2


@pytest.mark.parametrize("channels", [4, 8, 16])
def test_a_preview_has_the_colours_of_the_picture(model: Depth2ImgModel, channels: int) -> None:
    """With a VAE whose latents are a linear mixture of the colours, for any number of channels."""
    mixture = torch.randn(channels, 3, generator=torch.Generator().manual_seed(0))

    def encode(pictures: torch.Tensor) -> Any:
        small = torch.nn.functional.avg_pool2d(pictures, 8)
        latents = torch.einsum("oc,bchw->bohw", mixture, small)
        return SimpleNamespace(latent_dist=SimpleNamespace(mean=latents, std=None))

    one = prepare(model, request(width=128))
    model.pipe.vae.encode = encode
    model.previews = LatentPreview(model.pipe)
    colours = torch.rand(3, 8, 16, generator=torch.Generator().manual_seed(1))
    picture = torch.nn.functional.interpolate(colours[None] * 2 - 1, scale_factor=8)
    latents = encode(picture).latent_dist.mean * model.pipe.vae.config.scaling_factor
    one.state.tensors = latents.repeat(SLOTS, 1, 1, 1)
    preview = model.preview(one).result()
    assert (preview.width, preview.height) == (16, 8)
    pixels = np.frombuffer(preview.pixels, np.uint8).reshape(8, 16, 3)
    assert np.abs(pixels / 255 - colours.movedim(0, -1).numpy()).max() < 0.02


@pytest.mark.parametrize(
    ("prompt", "ignored"),
    [
        ("fox", ""),
        ("x" * 75, ""),
        ("x" * 75 + " the end", "the end"),
        ("ab " * 37 + "c" + "Ünïcode ✓ tail", "Ünïcode ✓ tail"),
    ],
)
def test_the_result_names_the_part_of_the_prompt_beyond_the_window(
    model: Depth2ImgModel, prompt: str, ignored: str
) -> None:
    assert prepare(model, request(prompt=prompt)).ignored_prompt == ignored


def test_the_depth_map_is_returned_on_request(model: Depth2ImgModel) -> None:
    engine, recorder = new_engine(model)
    engine.post(Submit(request("with", width=128, return_depth=True)))
    engine.post(Submit(request("without")))
    finish(engine, recorder, ["with", "without"])
    depth = recorder.results["with"].depth
    assert depth is not None
    assert len(depth) == 128 * 64
    assert np.ptp(np.frombuffer(depth, np.uint8)) > 100
    assert recorder.results["without"].depth is None


def test_the_depth_map_is_upright_in_a_picture_that_is_not_square(model: Depth2ImgModel) -> None:
    """With an estimator that sees everything as nearer to the right."""
    assert model.encoder.depth is not None
    ramp = torch.linspace(0, 1, 64).expand(1, 1, 32, 64)
    model.encoder.depth.estimate = lambda pixels: ramp  # type: ignore[method-assign]
    for width, height in ((128, 64), (64, 128)):
        engine, recorder = new_engine(model)
        engine.post(Submit(request(width=width, height=height, return_depth=True)))
        finish(engine, recorder, ["one"])
        result = recorder.results["one"]
        assert result.depth is not None
        assert (result.width, result.height) == (width, height)
        depth = np.frombuffer(result.depth, np.uint8).reshape(height, width).astype(int)
        assert np.abs(depth - depth[0]).max() <= 1, "every row is the same"
        assert (np.diff(depth[0]) >= 0).all()
        assert (depth[0, 0], depth[0, -1]) == (0, 255)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -2.0])
def test_a_non_finite_or_black_picture_is_decoded_again_in_float32(
    model: Depth2ImgModel, value: float, dtype: torch.dtype
) -> None:
    """The VAE returns to its own precision for the next picture."""
    expected = picture_of(model, request())
    model.pipe.vae.to(dtype)
    decode, calls = model.pipe.vae.decode, []

    def broken(latents: torch.Tensor, **options: Any) -> Any:
        calls.append((latents.dtype, model.pipe.vae.dtype))
        (decoded,) = decode(latents, **options)
        return (torch.full_like(decoded, value) if len(calls) == 1 else decoded,)

    model.pipe.vae.decode = broken
    first = picture_of(model, request())
    # The latents of the source were encoded in the VAE's precision.
    assert np.abs(first - expected).max() <= (0 if dtype == torch.float32 else 8)
    assert calls == [(dtype, dtype), (torch.float32, torch.float32)]
    picture_of(model, request("next", seed=1))
    assert calls[2:] == [(dtype, dtype)]


def test_a_picture_that_is_non_finite_in_float32_too_fails_with_a_sentence(
    model: Depth2ImgModel,
) -> None:
    model.pipe.vae.decoder.conv_out.weight.data.fill_(float("nan"))
    engine, recorder = new_engine(model)
    engine.post(Submit(request()))
    finish(engine, recorder, ["one"])
    assert isinstance(recorder.failures["one"], NonFiniteOutput)
