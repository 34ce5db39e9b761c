"""Rows of one call share neither values nor memory, and a valid depth map fails no request."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from inference.engine.transfers import PendingTransfer
from inference.errors import NonFiniteOutput
from inference.families.conditioning import EncodedPicture
from inference.families.sd import StableDiffusionModel
from inference.families.sdxl import StableDiffusionXLModel
from tests.support import tiny_models
from tests.support.engines import LIBRARY_WARNINGS, prepare, relative, run_alone
from tests.support.requests import request

pytestmark = LIBRARY_WARNINGS


@pytest.fixture(params=["sd", "sdxl"])
def model(request: pytest.FixtureRequest) -> Any:
    """A model with a ControlNet."""
    depth = tiny_models.depth_anything()
    if request.param == "sd":
        return StableDiffusionModel(tiny_models.stable_diffusion(control=True), depth)
    return StableDiffusionXLModel(tiny_models.stable_diffusion_xl(control=True), depth)


def test_a_cached_value_keeps_no_memory_of_the_others_of_its_batch(model: Any) -> None:
    prompts = ["a fox", "a (red:1.4) boat", "glass"]
    batch = [
        model.load_inputs(request(f"r{n}", prompt=prompt, negative_prompt="blue", seed=n))
        for n, prompt in enumerate(prompts)
    ]
    model.prepare(batch)
    values = list(model.encoder.cache.values())
    assert len(values) == len(prompts) + 1 + len(batch)
    held = 0
    for value in values:
        if isinstance(value, EncodedPicture):
            parts: Any = (value.mean, value.deviation, value.depth, value.relief)
        else:
            parts = value
        held += sum(part.untyped_storage().nbytes() for part in parts if part is not None)
    assert held == model.encoder.cache.currsize


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_depth_map_that_is_not_finite_spoils_no_other_request(
    model: Any, value: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, bad = request("good", steps=3), request("bad", seed=1, steps=3)
    expected = run_alone(model, good)
    model.encoder.cache.clear()
    estimate = model.encoder.depth.estimate

    def spoil(pixels: torch.Tensor) -> torch.Tensor:
        relief: torch.Tensor = estimate(pixels)
        relief[1, ..., 3, 3] = value
        return relief

    monkeypatch.setattr(model.encoder.depth, "estimate", spoil)
    # As on a GPU, where the host learns of the values later.
    monkeypatch.setattr(PendingTransfer, "ready", False)
    batch = model.prepare([model.load_inputs(good), model.load_inputs(bad)])
    while not batch[0].finished:
        model.predict(batch)
    assert relative(batch[0].state.sample, expected) <= 1e-4
    assert model.decode(batch[0]).result()
    with pytest.raises(NonFiniteOutput, match="depth"):
        model.decode(batch[1]).result()


def test_in_half_precision_a_large_depth_map_of_a_far_scene_is_valid(
    model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sum of its 102,400 values, most of them near -1, is infinite in float16."""
    relief = torch.zeros(1, 1, 16, 16)
    relief[..., 0, 0] = 1
    monkeypatch.setattr(model.encoder.depth, "estimate", lambda pixels: relief)
    in_half = type(model)(model.pipe.to(torch.float16), model.encoder.depth)
    one = prepare(in_half, request(width=320, height=320, steps=1, strength=1.0))
    assert torch.isinf(one.tiles[0].encoded.depth.sum())
    in_half.predict([one])
    assert in_half.decode(one).result()
