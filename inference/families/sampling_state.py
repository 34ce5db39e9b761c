"""Steps the schedules of many requests: all linear ones in one operation.

`inference.engine.sampling` derives the matrices. A request whose scheduler is not linear keeps a
scheduler object, whose `step` is called for it alone.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from cachetools import LRUCache

from inference.engine.sampling import (
    ORIGINAL,
    SAMPLE,
    SLOTS,
    SamplingPlan,
    noise_level,
    predicted_original,
    read_plan,
)
from inference.engine.transfers import to_device
from inference.families.masking import KeptLatents
from inference.pipelines.schedulers import new_scheduler
from inference.types import ImageRequest

PLANS = 256
"""Schedules whose plans are kept; a plan of 50 steps takes 11 kB."""

NO_STEPS = SamplingPlan(
    numbers=np.empty((0, 2), np.float32),
    transitions=np.empty((0, SLOTS, SLOTS + 1), np.float32),
    signal=1.0,
    deviation=0.0,
    levels=np.empty((0, 2), np.float32),
)
"""The plan of a request that runs no step."""


@dataclass(slots=True, eq=False)
class SamplingState:
    """A request's place in its schedule.

    `tensors`, (SLOTS, C, h, w) in float32, is the state that the plan's transitions map. Only a
    request whose scheduler is not linear has a `scheduler`; `must_restart` is set while that one
    takes a step: if the step raises, its state is lost. `kept` replaces the latents outside a mask
    after each step. `has_estimate` tells whether the last step estimated the finished sample.
    """

    plan: SamplingPlan
    tensors: torch.Tensor
    scheduler: Any = None
    timesteps: torch.Tensor | None = None
    options: dict[str, Any] | None = None
    kept: KeptLatents | None = None
    step: int = 0
    must_restart: bool = False
    has_estimate: bool = False

    @property
    def sample(self) -> torch.Tensor:
        """The latents, (1, C, h, w)."""
        return self.tensors[SAMPLE : SAMPLE + 1]

    @property
    def predicted_original(self) -> torch.Tensor:
        """The scheduler's estimate of the finished latents, (1, C, h, w).

        Noisy latents if it makes no estimate.
        """
        return self.tensors[ORIGINAL : ORIGINAL + 1]


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """A step that has begun: the model's inputs, and what is needed to finish it.

    `inputs` is (R, C, h, w) for R requests, `timesteps` and `scales` are (R,), `transitions`
    (R, SLOTS, SLOTS + 1).
    """

    states: Sequence[SamplingState]
    tensors: torch.Tensor
    inputs: torch.Tensor
    timesteps: torch.Tensor
    scales: torch.Tensor
    transitions: torch.Tensor


class Sampler:
    """Plans and steps schedules of the kind that `default_scheduler` and the requests name."""

    def __init__(self, default_scheduler: Any, device: torch.device, dtype: torch.dtype) -> None:
        self._default = default_scheduler
        self._device = device
        self._dtype = dtype
        self._plans: LRUCache[Any, SamplingPlan] = LRUCache(PLANS)

    def plan(self, request: ImageRequest) -> SamplingPlan:
        """The request's schedule. Called in the helper thread only."""
        if request.steps == 0:
            return NO_STEPS
        from_noise = not request.pixels
        key = (request.scheduler, request.steps, _steps_taken(request), from_noise)
        plan = self._plans.get(key)
        if plan is None:
            scheduler, timesteps = self._schedule(request)
            sigma = float(scheduler.init_noise_sigma)
            plan = read_plan(scheduler, timesteps)
            if from_noise:
                plan = replace(plan, signal=0.0, deviation=sigma)
            self._plans[key] = plan
        return plan

    def start(
        self,
        request: ImageRequest,
        plan: SamplingPlan,
        latents: torch.Tensor,
        generator: torch.Generator,
        kept: KeptLatents | None = None,
    ) -> SamplingState:
        """The state before the first step, from noisy latents (1, C, h, w).

        `generator` is copied, so that a request that starts again draws the same numbers.
        """
        tensors = latents.new_zeros((SLOTS, *latents.shape[1:]), dtype=torch.float32)
        tensors[SAMPLE] = tensors[ORIGINAL] = latents[0]
        state = SamplingState(plan, tensors, kept=kept)
        if plan.transitions is None:
            state.scheduler, state.timesteps = self._schedule(request)
            accepted = inspect.signature(state.scheduler.step).parameters
            options = {"eta": 0.0, "generator": generator.clone_state()}
            state.options = {name: value for name, value in options.items() if name in accepted}
        return state

    def begin(self, states: Sequence[SamplingState], scales: Sequence[float]) -> Step:
        """The model's inputs for the next step of every request; `scales` are their guidance."""
        numbers = np.zeros((len(states), 3 + SLOTS * (SLOTS + 1)), np.float32)
        for row, state in enumerate(states):
            numbers[row, :2] = state.plan.numbers[state.step]
            if state.plan.transitions is not None:
                numbers[row, 3:] = state.plan.transitions[state.step].ravel()
        numbers[:, 2] = scales
        values = to_device(torch.from_numpy(numbers), self._device)
        tensors = torch.stack([state.tensors for state in states])
        inputs = (tensors[:, SAMPLE] * values[:, 1, None, None, None]).to(self._dtype)
        for row, state in enumerate(states):
            if state.scheduler is not None:
                inputs[row] = self._scaled_by_library(state)[0]
        return Step(
            states=states,
            tensors=tensors,
            inputs=inputs,
            timesteps=values[:, 0],
            scales=values[:, 2],
            transitions=values[:, 3:].view(-1, SLOTS, SLOTS + 1),
        )

    def take(self, step: Step, outputs: torch.Tensor) -> None:
        """Take the step with the outputs of `combine_guidance`, (R, C, h, w)."""
        before = torch.cat([step.tensors, outputs[:, None]], dim=1)
        after = torch.bmm(step.transitions, before.flatten(2)).view_as(step.tensors)
        tensors = [_keep(state, after[index]) for index, state in enumerate(step.states)]
        for state, stepped in zip(step.states, tensors, strict=True):
            if state.scheduler is None:
                state.tensors = stepped
                state.has_estimate = state.plan.has_estimates
                state.step += 1
        for index, state in enumerate(step.states):
            if state.scheduler is not None:
                self._step_by_library(state, outputs[index : index + 1])

    def _scaled_by_library(self, state: SamplingState) -> torch.Tensor:
        """The model's input, (1, C, h, w). Some schedulers find their place in the schedule by this
        call."""
        assert state.timesteps is not None
        sample = state.sample.to(self._dtype)
        scaled: torch.Tensor = state.scheduler.scale_model_input(
            sample, state.timesteps[state.step]
        )
        return scaled

    def _step_by_library(self, state: SamplingState, output: torch.Tensor) -> None:
        assert state.timesteps is not None
        assert state.options is not None
        state.must_restart = True
        time = state.timesteps[state.step]
        sample = state.sample.to(self._dtype)
        out = state.scheduler.step(output.to(self._dtype), time, sample, **state.options)
        original = predicted_original(out, state.scheduler)
        tensors = torch.zeros_like(state.tensors)
        tensors[SAMPLE] = out.prev_sample[0]
        tensors[ORIGINAL] = out.prev_sample[0] if original is None else original[0]
        if state.kept is not None:
            level = noise_level(state.scheduler, state.timesteps, state.step + 1)
            tensors = state.kept.blend(tensors, *level)
        state.tensors = tensors
        state.has_estimate = original is not None
        state.step += 1
        state.must_restart = False

    def _schedule(self, request: ImageRequest) -> tuple[Any, torch.Tensor]:
        """A fresh scheduler and the timesteps that the request takes.

        They stay on the CPU: schedulers look numbers up by timestep, which on a GPU would make the
        host wait.
        """
        scheduler = new_scheduler(self._default, request.scheduler, request.steps)
        scheduler.set_timesteps(request.steps, device="cpu")
        begin = (request.steps - _steps_taken(request)) * scheduler.order
        if hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(begin)
        return scheduler, scheduler.timesteps[begin:]


def combine_guidance(predictions: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
    """The model's outputs with guidance, (R, C, h, w) in float32; `scales` are (R,).

    `predictions` has R rows, followed by a row for the negative prompt of each of the first ones
    (Ho and Salimans 2022, "Classifier-Free Diffusion Guidance").
    """
    count = len(scales)
    guided = len(predictions) - count
    predictions = predictions.float()
    conditional = predictions[:count]
    unconditional = torch.cat([predictions[count:], conditional[guided:]])
    return unconditional + scales[:, None, None, None] * (conditional - unconditional)


def _keep(state: SamplingState, tensors: torch.Tensor) -> torch.Tensor:
    """The state after a linear step, blended with the source's latents outside the mask."""
    if state.kept is None or state.plan.levels is None:
        return tensors
    signal, deviation = state.plan.levels[state.step]
    return state.kept.blend(tensors, float(signal), float(deviation))


def _steps_taken(request: ImageRequest) -> int:
    """The last steps of the schedule that run; at least one, and all without a source picture."""
    if not request.pixels:
        return request.steps
    return max(1, min(int(request.steps * request.strength), request.steps))
