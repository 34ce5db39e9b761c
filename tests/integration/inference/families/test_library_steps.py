"""Requests whose steps the library takes: ancestral schedulers, restarts, long LCM schedules."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import EulerAncestralDiscreteScheduler, KDPM2AncestralDiscreteScheduler
from PIL import Image

from inference.families.sd import StableDiffusionModel
from tests.support import tiny_models
from tests.support.engines import LIBRARY_WARNINGS, prepare, relative, run_alone
from tests.support.requests import request

pytestmark = [
    LIBRARY_WARNINGS,
    # KDPM2AncestralDiscreteScheduler passes a tensor to numpy.
    pytest.mark.filterwarnings("ignore:__array_wrap__ must accept context:DeprecationWarning"),
]

SCHEDULERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "euler_ancestral": (EulerAncestralDiscreteScheduler, {}),
    # As in the repository of sdxl-turbo.
    "turbo": (EulerAncestralDiscreteScheduler, {"timestep_spacing": "trailing"}),
    # Its second-order steps scale the input in another way than the steps before them.
    "kdpm2_ancestral": (KDPM2AncestralDiscreteScheduler, {}),
}


@pytest.fixture(scope="module")
def pipe() -> Any:
    return tiny_models.stable_diffusion()


def model_of(pipe: Any, scheduler: str) -> StableDiffusionModel:
    kind, options = SCHEDULERS[scheduler]
    pipe.scheduler = kind.from_config(pipe.scheduler.config, **options)
    return StableDiffusionModel(pipe)


@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize(("steps", "strength"), [(4, 1.0), (8, 0.6)])
def test_an_ancestral_scheduler_gives_the_library_s_picture(
    pipe: Any, scheduler: str, steps: int, strength: float
) -> None:
    model = model_of(pipe, scheduler)
    wanted = request(steps=steps, strength=strength, guidance_scale=3.0)
    expected = pipe(
        prompt=wanted.prompt,
        image=Image.frombytes("RGB", (wanted.width, wanted.height), wanted.pixels),
        strength=strength,
        num_inference_steps=steps,
        guidance_scale=wanted.guidance_scale,
        generator=torch.Generator().manual_seed(wanted.seed),
        output_type="latent",
    ).images
    assert relative(run_alone(model, wanted), expected) <= 1e-5


@pytest.mark.parametrize("scheduler", [None, "lcm"])
def test_a_request_that_starts_again_gives_the_same_picture(pipe: Any, scheduler: Any) -> None:
    model = model_of(pipe, "turbo")
    inputs = model.load_inputs(request(steps=4, strength=1.0, scheduler=scheduler))
    finished = []
    for steps in (2, 4, 4):
        (one,) = model.prepare([inputs])
        for _ in range(steps):
            model.predict([one])
        finished.append(one.state.sample)
    assert not torch.equal(finished[0], finished[1])
    assert torch.equal(finished[1], finished[2])


def test_a_mixed_batch_scales_each_input_by_its_own_scheduler(pipe: Any) -> None:
    model = model_of(pipe, "euler_ancestral")
    wanted = [
        request("own", steps=5, strength=1.0),
        request("linear", steps=5, strength=1.0, scheduler="euler"),
    ]
    alone = [run_alone(model, one) for one in wanted]
    batch = [prepare(model, one) for one in wanted]
    for _ in range(5):
        model.predict(batch)
    for one, expected in zip(batch, alone, strict=True):
        assert relative(one.state.sample, expected) <= 1e-4


def test_lcm_takes_more_steps_than_it_was_distilled_with(pipe: Any) -> None:
    model = model_of(pipe, "turbo")
    one = prepare(model, request(steps=60, strength=0.1, scheduler="lcm"))
    assert one.total_steps == 6
    while not one.finished:
        model.predict([one])
    assert torch.isfinite(one.state.sample).all()
