"""Schedules as matrices: equal to the library's steps, and refused where they are not linear."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    HeunDiscreteScheduler,
    LMSDiscreteScheduler,
)

from inference.engine.sampling import SLOTS, SamplingPlan, predicted_original, read_plan
from inference.families.depth2img import Depth2ImgModel
from inference.families.sampling_state import Sampler, combine_guidance
from inference.pipelines import random_tiny
from inference.types import Scheduler
from tests.support.engines import (
    LIBRARY_WARNINGS,
    SCHEDULERS,
    finish,
    force_library_steps,
    new_engine,
    relative,
    run_alone,
)
from tests.support.requests import request

pytestmark = LIBRARY_WARNINGS

SAME = 1e-6
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def own() -> Any:
    return random_tiny.build().scheduler


def plan_of(scheduler: Any, steps: int = 10) -> SamplingPlan:
    scheduler.set_timesteps(steps, device="cpu")
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(0)
    return read_plan(scheduler, scheduler.timesteps)


@pytest.mark.parametrize("name", [None, *SCHEDULERS])
@pytest.mark.parametrize(("steps", "strength"), [(20, 1.0), (25, 0.7), (30, 0.05), (2, 1.0)])
def test_every_step_equals_the_library_s(
    own: Any, name: Scheduler | None, steps: int, strength: float
) -> None:
    sampler = Sampler(own, CPU, torch.float32)
    wanted = request(scheduler=name, steps=steps, strength=strength)
    plan = sampler.plan(wanted)
    assert plan.transitions is not None
    scheduler, timesteps = sampler._schedule(wanted)
    generator = torch.Generator().manual_seed(steps)
    sample = 10 * torch.randn(1, 4, 8, 8, generator=generator)
    state = sampler.start(wanted, plan, sample, generator)
    for step in timesteps:
        output = torch.randn(1, 4, 8, 8, generator=generator)
        begun = sampler.begin([state], [1.0])
        expected_input = scheduler.scale_model_input(sample, step)
        assert relative(begun.inputs, expected_input) <= SAME
        assert float(begun.timesteps[0]) == float(step)
        sampler.take(begun, combine_guidance(output, begun.scales))
        out = scheduler.step(output, step, sample)
        sample = out.prev_sample
        assert relative(state.sample, sample) <= SAME
        original = predicted_original(out, scheduler)
        if original is not None:
            # Early estimates divide by a small factor, which magnifies rounding.
            assert relative(state.predicted_original, original) <= 20 * SAME
    assert state.step == plan.steps == len(timesteps)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (LMSDiscreteScheduler, {}),
        (HeunDiscreteScheduler, {}),
        (DPMSolverMultistepScheduler, {"solver_order": 3}),
    ],
)
def test_other_linear_schedulers_are_recognised(kind: Any, options: dict[str, Any]) -> None:
    assert plan_of(kind(**options)).transitions is not None


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (DDIMScheduler, {"clip_sample": True}),
        (DPMSolverMultistepScheduler, {"thresholding": True}),
        (DPMSolverMultistepScheduler, {"algorithm_type": "sde-dpmsolver++"}),
        (EulerAncestralDiscreteScheduler, {}),
    ],
)
def test_random_clipping_and_thresholding_schedulers_are_refused(
    kind: Any, options: dict[str, Any]
) -> None:
    assert plan_of(kind(**options)).transitions is None


@pytest.mark.parametrize("guidance", [1.0, 7.5])
def test_a_scheduler_that_is_not_linear_is_stepped_by_the_library(guidance: float) -> None:
    pipe: Any = random_tiny.build()
    pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config, clip_sample=True)
    pipe.set_progress_bar_config(disable=True)
    wanted = request(guidance_scale=guidance)
    expected = pipe(
        prompt=wanted.prompt,
        image=_image(wanted),
        strength=wanted.strength,
        num_inference_steps=wanted.steps,
        guidance_scale=guidance,
        generator=torch.Generator().manual_seed(0),
        output_type="latent",
    ).images
    assert relative(run_alone(Depth2ImgModel(pipe), wanted), expected) <= 1e-5


def _image(wanted: Any) -> Any:
    from PIL import Image

    return Image.frombytes("RGB", (wanted.width, wanted.height), wanted.pixels)


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_both_ways_of_stepping_give_the_same_latents(
    model: Depth2ImgModel, scheduler: Scheduler
) -> None:
    wanted = request(scheduler=scheduler, steps=12)
    linear = run_alone(model, wanted)
    force_library_steps(model)
    assert relative(run_alone(model, wanted), linear) <= 1e-5


def test_linear_and_library_steps_share_a_batch(model: Depth2ImgModel) -> None:
    wanted = [request(f"r{n}", seed=n, scheduler="unipc", steps=8 + n) for n in range(6)]
    alone = {one.id: run_alone(model, one) for one in wanted}
    plan = model.sampler.plan

    def alternate(one: Any) -> SamplingPlan:
        found = plan(one)
        odd = int(one.id[1:]) % 2
        return replace(found, transitions=None, levels=None) if odd else found

    model.sampler.plan = alternate  # type: ignore[assignment, method-assign]
    latents: dict[str, torch.Tensor] = {}
    decode = model.decode
    model.decode = lambda one: (  # type: ignore[method-assign]
        latents.__setitem__(one.request.id, one.state.sample) or decode(one)  # type: ignore[func-returns-value]
    )
    engine, recorder = new_engine(model, row_limit=12)
    from inference.worker.messages import Submit

    for one in wanted:
        engine.post(Submit(one))
    finish(engine, recorder, alone)
    assert all(relative(latents[id_], alone[id_]) <= 1e-4 for id_ in alone)


def test_a_plan_is_read_once_for_each_schedule(own: Any) -> None:
    sampler = Sampler(own, CPU, torch.float32)
    first = sampler.plan(request("a", seed=1, scheduler="euler"))
    assert sampler.plan(request("b", seed=2, scheduler="euler", prompt="else")) is first
    assert sampler.plan(request("c", scheduler="euler", steps=11)) is not first


def test_the_operations_of_a_step_do_not_grow_with_the_batch(own: Any) -> None:
    """Guidance and the schedules of all requests: a fixed number of torch calls, apart from one
    tensor of the state a request."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Count(TorchDispatchMode):  # type: ignore[no-untyped-call]
        calls = 0

        def __torch_dispatch__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            if func.overloadpacket not in VIEWS:
                Count.calls += 1
            return func(*args, **(kwargs or {}))

    aten = torch.ops.aten
    VIEWS = {aten.select, aten.slice, aten.view, aten.unsqueeze, aten.detach, aten.alias}  # noqa: N806
    sampler = Sampler(own, CPU, torch.float32)
    counts = {}
    for size in (1, 16):
        wanted = [request(f"r{n}", scheduler=SCHEDULERS[n % 5]) for n in range(size)]
        states = [
            sampler.start(one, sampler.plan(one), torch.ones(1, 4, 8, 8), torch.Generator())
            for one in wanted
        ]
        outputs = torch.ones(2 * size, 4, 8, 8)
        Count.calls = 0
        with torch.no_grad(), Count():  # type: ignore[no-untyped-call]
            begun = sampler.begin(states, [5.0] * size)
            sampler.take(begun, combine_guidance(outputs, begun.scales))
        counts[size] = Count.calls
    print(f"operations: {counts}")
    assert counts[16] == counts[1] <= 12


def test_the_host_time_of_a_step(own: Any) -> None:
    """Printed, not asserted: it depends on the machine's other work. The latents are small, so that
    the arithmetic itself, which a GPU does, takes no time."""
    sampler = Sampler(own, CPU, torch.float32)
    wanted = [
        request(f"r{n}", scheduler=SCHEDULERS[n % 5], steps=50, strength=1.0) for n in range(16)
    ]
    states = [
        sampler.start(one, sampler.plan(one), torch.ones(1, 4, 8, 8), torch.Generator())
        for one in wanted
    ]
    outputs = torch.ones(32, 4, 8, 8)
    times = []
    with torch.no_grad():
        for _ in range(20):
            begin = time.perf_counter()
            begun = sampler.begin(states, [5.0] * 16)
            sampler.take(begun, combine_guidance(outputs, begun.scales))
            times.append(time.perf_counter() - begin)
    print(f"sampling, 16 requests: {1e6 * min(times) / 16:.0f} µs a request and step")
    assert all(state.step == 20 for state in states)
    assert states[0].tensors.shape[0] == SLOTS
