"""Rows of one call share neither values nor memory."""

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
from tests.support.engines import LIBRARY_WARNINGS, relative, run_alone
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
