"""Schedulers by name, built from the configuration in a model's repository."""

from __future__ import annotations

from typing import Any, get_args

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    LCMScheduler,
    PNDMScheduler,
    UniPCMultistepScheduler,
)

from inference.pipelines.schedulers import new_scheduler
from inference.types import Scheduler

# From numpy, where diffusers passes it tensors.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

BETAS = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
# The schedulers in the repositories of SD 2 depth, pocket and SDXL.
REPOSITORIES = {
    "PNDM": PNDMScheduler(**BETAS, skip_prk_steps=True, steps_offset=1, set_alpha_to_one=False),
    "DDIM": DDIMScheduler(
        **BETAS,
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        clip_sample=False,
    ),
    "Euler": EulerDiscreteScheduler(**BETAS, timestep_spacing="leading", steps_offset=1),
}
LIBRARY: dict[str, Any] = {
    "dpmpp_2m_karras": lambda config: DPMSolverMultistepScheduler.from_config(
        config, use_karras_sigmas=True
    ),
    "ddim": lambda config: DDIMScheduler.from_config(config, clip_sample=False),
    "euler": EulerDiscreteScheduler.from_config,
    "euler_trailing": lambda config: EulerDiscreteScheduler.from_config(
        config, timestep_spacing="trailing"
    ),
    "lcm": LCMScheduler.from_config,
    "unipc": UniPCMultistepScheduler.from_config,
    "pndm": lambda config: PNDMScheduler.from_config(config, skip_prk_steps=True),
}


def trajectory(scheduler: Any) -> torch.Tensor:
    """The samples of ten steps with a made-up model output."""
    scheduler.set_timesteps(10)
    generator = torch.Generator().manual_seed(0)
    sample = torch.randn(1, 4, 8, 8, generator=generator)
    # LCM draws noise in each step.
    torch.manual_seed(0)
    samples = []
    for time in scheduler.timesteps:
        output = torch.sin(sample) * 0.1 + float(time) / 1000
        sample = scheduler.step(output, time, sample).prev_sample
        samples.append(sample)
    return torch.stack(samples)


@pytest.mark.parametrize("repository", REPOSITORIES)
@pytest.mark.parametrize("default", [None, *get_args(Scheduler)])
@pytest.mark.parametrize("name", get_args(Scheduler))
def test_a_named_scheduler_is_the_library_s_for_the_repository_whatever_the_default(
    repository: str, default: Scheduler | None, name: Scheduler
) -> None:
    own = REPOSITORIES[repository]
    wanted = LIBRARY[name](own.config)
    made = new_scheduler(new_scheduler(own, default), name)
    assert type(made) is type(wanted)
    assert torch.equal(trajectory(made), trajectory(wanted))


@pytest.mark.parametrize("name", ["euler", "unipc"])
def test_karras_levels_of_the_repository_do_not_reach_other_schedulers(name: Scheduler) -> None:
    own = DPMSolverMultistepScheduler(**BETAS, use_karras_sigmas=True)
    assert new_scheduler(own, name).config.use_karras_sigmas is False


@pytest.mark.parametrize("name", get_args(Scheduler))
def test_without_a_name_the_default_is_repeated(name: Scheduler) -> None:
    default = new_scheduler(REPOSITORIES["PNDM"], name)
    repeated = new_scheduler(default, None)
    assert repeated is not default
    assert torch.equal(trajectory(repeated), trajectory(default))


@pytest.mark.parametrize("steps", [4, 50, 51, 60, 101, 150])
@pytest.mark.parametrize("repository", REPOSITORIES)
def test_a_schedule_of_lcm_can_have_every_number_of_steps(repository: str, steps: int) -> None:
    default = REPOSITORIES[repository]
    scheduler = new_scheduler(new_scheduler(default, "lcm"), None, steps)
    scheduler.set_timesteps(steps)
    times = scheduler.timesteps.tolist()
    assert len(times) == len(set(times)) == steps
    assert times == sorted(times, reverse=True)
    assert times[0] == 999
    if steps <= 50:
        library = LCMScheduler.from_config(default.config)
        library.set_timesteps(steps)
        assert times == library.timesteps.tolist()
