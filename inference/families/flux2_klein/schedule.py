"""The noise levels of a request: the library's flow-matching schedule, shifted by the size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from diffusers.pipelines.flux2.pipeline_flux2_klein import (
    compute_empirical_mu,
    retrieve_timesteps,
)


@dataclass(frozen=True, slots=True, eq=False)
class FlowSchedule:
    """`timesteps`, (T,), in 0..1000, and `sigmas`, (T + 1,), which end at zero."""

    timesteps: torch.Tensor
    sigmas: torch.Tensor

    @property
    def steps(self) -> int:
        """The number of steps."""
        return len(self.timesteps)

    def numbers(self, step: int) -> tuple[float, float, float]:
        """The timestep of a step, its noise level, and the change of the noise level."""
        sigma, following = self.sigmas[step], self.sigmas[step + 1]
        return float(self.timesteps[step]), float(sigma), float(following - sigma)


def new_schedule(default: Any, steps: int, tokens: int) -> FlowSchedule:
    """The schedule that `Flux2KleinPipeline.__call__` computes for a picture of so many tokens.

    `default` is the pipeline's `FlowMatchEulerDiscreteScheduler`. Its deterministic step is
    `sample + (next sigma - sigma) * output`, so only its numbers are needed.
    """
    scheduler = type(default).from_config(default.config)
    timesteps, _ = retrieve_timesteps(
        scheduler,
        steps,
        "cpu",
        sigmas=np.linspace(1.0, 1 / steps, steps),
        mu=compute_empirical_mu(tokens, steps),
    )
    return FlowSchedule(timesteps, scheduler.sigmas)
