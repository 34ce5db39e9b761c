"""The arithmetic of a library scheduler as matrices, so that one operation steps many requests.

A step of the usual schedulers is linear in the sample, the model's output and the tensors that the
scheduler keeps of earlier steps. The factors depend on the schedule only. They are read off the
library's own scheduler: it takes each step on a tensor whose elements are basis vectors, so that
the result's elements are the factors. A further element takes ordinary values through the whole
schedule and proves that the step is linear. Schedulers that fail this (random, clipping or
thresholding ones) are stepped by the library.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

SLOTS = 7
"""Tensors in a request's state: the sample, the scheduler's estimate of the finished sample, and
up to five that the scheduler keeps (PNDM: four model outputs and a sample)."""

SAMPLE, ORIGINAL, KEPT = 0, 1, 2

TOLERANCE = 1e-4
"""Largest relative error of the linear form; schedulers compute partly in float32."""


@dataclass(frozen=True, slots=True, eq=False)
class SamplingPlan:
    """The steps of one schedule.

    `numbers`, (T, 2), holds the timestep and the factor of the model's input, which is 1 if the
    scheduler is not linear: the library scales the input then. `transitions`,
    (T, SLOTS, SLOTS + 1), maps the state and the model's output to the next state; it is None if
    the scheduler is not linear. `signal` and `deviation` are the factors of the clean latents and
    of the noise at the start; `levels`, (T, 2), holds those after each step, (1, 0) after the last
    one, and is None if the scheduler is not linear. `has_estimates` tells whether a linear
    scheduler estimates the finished sample.
    """

    numbers: np.ndarray[Any, np.dtype[np.float32]]
    transitions: np.ndarray[Any, np.dtype[np.float32]] | None
    signal: float
    deviation: float
    levels: np.ndarray[Any, np.dtype[np.float32]] | None
    has_estimates: bool = False

    @property
    def steps(self) -> int:
        """The number of steps."""
        return len(self.numbers)


def read_plan(scheduler: Any, timesteps: torch.Tensor) -> SamplingPlan:
    """The plan of a fresh scheduler whose timesteps are set; it is used up.

    `timesteps` are those of the schedule that will be taken.
    """
    one = torch.ones(1, dtype=torch.float64)
    signal, deviation = noise_level(scheduler, timesteps, 0)
    numbers = np.empty((len(timesteps), 2), np.float32)
    levels = np.empty((len(timesteps), 2), np.float32)
    transitions: list[np.ndarray[Any, Any]] = []
    checked, has_estimates = 10.0, False
    for index, time in enumerate(timesteps):
        numbers[index] = float(time), float(scheduler.scale_model_input(one, time))
        step = _read_step(scheduler, time, checked, output=np.cos(1.0 + 5 * index))
        if step is None:
            # The factors of later steps cannot be read: they depend on the steps before them.
            numbers[:, 0], numbers[:, 1] = timesteps.numpy(), 1.0
            return SamplingPlan(numbers, None, signal, deviation, None)
        matrix, checked, has_estimates = step
        transitions.append(matrix)
        levels[index] = noise_level(scheduler, timesteps, index + 1)
    matrices = np.stack(transitions).astype(np.float32)
    return SamplingPlan(numbers, matrices, signal, deviation, levels, has_estimates)


def noise_level(scheduler: Any, timesteps: torch.Tensor, step: int) -> tuple[float, float]:
    """The factors of the clean latents and of the noise once `step` of the timesteps are taken.

    The scheduler has taken exactly these: some of them read their own position.
    """
    if step == len(timesteps):
        return 1.0, 0.0
    one, zero = torch.ones(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    time = timesteps[step : step + 1]
    return float(scheduler.add_noise(one, zero, time)), float(scheduler.add_noise(zero, one, time))


def predicted_original(out: Any, scheduler: Any) -> torch.Tensor | None:
    """The scheduler's estimate of the finished sample after a step, where it makes one."""
    original: torch.Tensor | None = getattr(out, "pred_original_sample", None)
    if original is None:
        # The name in the output of `LCMScheduler`.
        original = getattr(out, "denoised", None)
    if original is None and getattr(scheduler.config, "algorithm_type", "") == "dpmsolver++":
        original = scheduler.model_outputs[-1]
    if original is None and getattr(scheduler.config, "predict_x0", False):
        original = scheduler.model_outputs[-1]
    return original


def _read_step(
    scheduler: Any, time: torch.Tensor, checked: float, output: float
) -> tuple[np.ndarray[Any, Any], float, bool] | None:
    """One step's matrix, the checked sample after it, and whether the scheduler estimates the
    finished sample; None if the step is not linear."""
    width = SLOTS + 2
    values = np.zeros(width)
    values[SAMPLE], values[-2] = checked, output
    kept = _kept_tensors(scheduler, width)
    if len(kept) > SLOTS - KEPT:
        return None
    for slot, (holder, key, tensor) in enumerate(kept, start=KEPT):
        values[slot] = float(tensor[0, -1])
        _assign(holder, key, _basis(slot, values[slot]))
    sample, prediction = _basis(SAMPLE, checked), _basis(SLOTS, output)
    try:
        out = scheduler.step(prediction, time, sample)
    except (RuntimeError, TypeError, ValueError, IndexError):
        return None
    kept_after = _kept_tensors(scheduler, width)
    if len(kept_after) > SLOTS - KEPT:
        return None
    matrix = np.zeros((SLOTS, SLOTS + 1))
    after = np.zeros(SLOTS)
    original = predicted_original(out, scheduler)
    rows = {SAMPLE: out.prev_sample, ORIGINAL: original if original is not None else sample}
    rows |= {slot: tensor for slot, (_, _, tensor) in enumerate(kept_after, start=KEPT)}
    for slot, tensor in rows.items():
        flat = tensor.flatten().double().numpy()
        matrix[slot], after[slot] = flat[:-1], flat[-1]
    predicted = matrix @ values[:-1]
    if not np.allclose(predicted, after, rtol=TOLERANCE, atol=TOLERANCE):
        return None
    return matrix, float(after[SAMPLE]), original is not None


def _basis(slot: int, checked: float) -> torch.Tensor:
    """(1, SLOTS + 2, 1, 1): one at the slot, zero at the others, the checked value at the end."""
    vector = torch.zeros(1, SLOTS + 2, 1, 1, dtype=torch.float64)
    vector[0, slot] = 1.0
    vector[0, -1] = checked
    return vector


def _kept_tensors(scheduler: Any, width: int) -> list[tuple[Any, Any, torch.Tensor]]:
    """The sample-shaped tensors that the scheduler keeps: their holder, name or index, value."""
    shape = (1, width, 1, 1)
    found: list[tuple[Any, Any, torch.Tensor]] = []
    for name, value in sorted(vars(scheduler).items()):
        if isinstance(value, list):
            found += [
                (value, index, part)
                for index, part in enumerate(value)
                if isinstance(part, torch.Tensor) and part.shape == shape
            ]
        elif isinstance(value, torch.Tensor) and value.shape == shape:
            found.append((scheduler, name, value))
    return found


def _assign(holder: Any, key: Any, tensor: torch.Tensor) -> None:
    if isinstance(holder, list):
        holder[key] = tensor
    else:
        setattr(holder, key, tensor)
