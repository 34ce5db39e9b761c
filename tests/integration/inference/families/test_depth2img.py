"""The engine's results equal the library pipeline's, for one request and in any batch."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch

from inference.families.denoising.state import Denoising
from inference.families.depth2img import Depth2ImgModel
from inference.pipelines import random_tiny
from inference.types import Scheduler
from inference.worker.messages import Submit
from tests.support.engines import (
    LIBRARY_WARNINGS,
    SCHEDULERS,
    array,
    finish,
    mixed,
    new_engine,
    prepare,
    relative,
    run_alone,
    run_library,
    worst_of_a_batch,
)
from tests.support.requests import request

pytestmark = LIBRARY_WARNINGS

ALONE = 1e-5
BATCHED = 1e-4


def assert_equals_library(model: Depth2ImgModel, **changes: Any) -> None:
    wanted = request(**changes)
    expected = run_library(model.pipe, wanted)
    assert relative(run_alone(model, wanted), expected) <= ALONE


@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize(("strength", "steps"), [(0.05, 20), (0.35, 8), (0.8, 8), (1.0, 8)])
def test_latents_equal_the_library_s_at_every_strength(
    model: Depth2ImgModel, scheduler: Scheduler, strength: float, steps: int
) -> None:
    assert_equals_library(model, scheduler=scheduler, strength=strength, steps=steps, seed=5)


@pytest.mark.parametrize(
    ("guidance", "negative"), [(1.0, ""), (1.0, "blue"), (2.5, ""), (9.0, "blue, blurred")]
)
def test_latents_equal_the_library_s_with_and_without_guidance(
    model: Depth2ImgModel, guidance: float, negative: str
) -> None:
    assert_equals_library(model, guidance_scale=guidance, negative_prompt=negative)


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_latents_equal_the_library_s_without_guidance_with_each_scheduler(
    model: Depth2ImgModel, scheduler: Scheduler
) -> None:
    assert_equals_library(model, scheduler=scheduler, guidance_scale=1.0)


@pytest.mark.parametrize(("width", "height"), [(64, 64), (128, 64), (64, 192)])
def test_the_finished_picture_equals_the_library_s(
    model: Depth2ImgModel, width: int, height: int
) -> None:
    wanted = request(width=width, height=height)
    engine, recorder = new_engine(model)
    engine.post(Submit(wanted))
    finish(engine, recorder, ["one"])
    got = array(recorder.results["one"])
    expected = (run_library(model.pipe, wanted, "np")[0] * 255).round().astype(np.uint8)
    # A value half-way between two shades may be rounded either way.
    assert np.abs(got.astype(int) - expected.astype(int)).max() <= 1
    assert got.std() > 1


def test_requests_that_join_a_batch_at_different_times_equal_themselves_alone(
    model: Depth2ImgModel,
) -> None:
    """Twelve requests of two sizes, five schedulers, in one running set of up to 24 rows."""
    wanted = mixed(12, sizes=((64, 64), (128, 64)))
    alone = {one.id: run_alone(model, one) for one in wanted}
    rng = random.Random(0)
    waiting = list(wanted)
    running: list[Denoising] = []
    done: dict[str, torch.Tensor] = {}
    together = 0
    while waiting or running:
        joining = rng.choice([0, 1, 1, 3])
        running += [prepare(model, one) for one in waiting[:joining]]
        del waiting[:joining]
        shapes = {one.state.sample.shape for one in running}
        if not shapes:
            continue
        shape = rng.choice(sorted(shapes))
        batch = [one for one in running if one.state.sample.shape == shape]
        together = max(together, len(batch))
        model.predict(batch)
        done |= {one.request.id: one.state.sample for one in batch if one.finished}
        running = [one for one in running if not one.finished]
    worst = max(relative(done[id_], alone[id_]) for id_ in alone)
    assert worst <= BATCHED
    assert together >= 5


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_eight_requests_in_one_batch_equal_themselves_alone(
    model: Depth2ImgModel, scheduler: Scheduler
) -> None:
    wanted = [
        request(
            f"r{index}",
            scheduler=scheduler,
            seed=index,
            strength=0.4 + 0.08 * index,
            guidance_scale=1.0 + index % 4,
            prompt=f"number {index}",
        )
        for index in range(8)
    ]
    batch = [prepare(model, one) for one in wanted]
    latents: dict[str, torch.Tensor] = {}
    while batch:
        model.predict(batch)
        latents |= {one.request.id: one.state.sample for one in batch if one.finished}
        batch = [one for one in batch if not one.finished]
    for one in wanted:
        assert relative(latents[one.id], run_alone(model, one)) <= BATCHED


def test_batched_pictures_equal_pictures_alone(model: Depth2ImgModel) -> None:
    wanted = mixed(10, seed=9)
    alone = {}
    for one in wanted:
        engine, recorder = new_engine(model)
        engine.post(Submit(one))
        finish(engine, recorder, [one.id])
        alone[one.id] = array(recorder.results[one.id]).astype(int)
    engine, recorder = new_engine(model, row_limit=32)
    for one in wanted:
        engine.post(Submit(one))
    finish(engine, recorder, alone)
    for id_, expected in alone.items():
        assert np.abs(array(recorder.results[id_]).astype(int) - expected).max() <= 1


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_in_half_precision_batched_pictures_equal_pictures_alone(
    dtype: torch.dtype,
) -> None:
    model = Depth2ImgModel(random_tiny.build().to(dtype=dtype))
    assert worst_of_a_batch(model, mixed(8, sizes=((64, 64), (128, 64)))) >= 35


def test_the_cache_does_not_change_the_result(model: Depth2ImgModel) -> None:
    first = run_alone(model, request(seed=3))
    assert torch.equal(run_alone(model, request(seed=3)), first)
    fresh = Depth2ImgModel(model.pipe, cache_bytes=0)
    assert torch.equal(run_alone(fresh, request(seed=3)), first)


def test_a_strength_too_small_for_one_step_runs_one_step(model: Depth2ImgModel) -> None:
    one = prepare(model, request(strength=0.05, steps=10))
    assert one.total_steps == 1


def test_a_flat_depth_map_becomes_zero(model: Depth2ImgModel) -> None:
    flat = bytes([120, 60, 200]) * (64 * 64)
    pipe: Any = random_tiny.build()
    # An estimator that returns a constant, as the full one does for a plain colour.
    for part in pipe.depth_estimator.head.parameters():
        part.data.zero_()
    constant = Depth2ImgModel(pipe)
    one = prepare(constant, request(pixels=flat))
    assert torch.equal(one.tiles[0].encoded.depth, torch.zeros_like(one.tiles[0].encoded.depth))
    while not one.finished:
        constant.predict([one])
    assert len(constant.decode(one).result()) == 64 * 64 * 3
