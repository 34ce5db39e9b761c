"""The schedulers that a request may name, built from the model's own configuration."""

from __future__ import annotations

from typing import Any

from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    LCMScheduler,
    PNDMScheduler,
    UniPCMultistepScheduler,
)

from inference.types import Scheduler

# Options that choose other noise levels than the scheduler's own. `from_config` would take them
# over from the repository's scheduler, but here they are part of a scheduler's name.
_OWN_LEVELS = {
    "use_karras_sigmas": False,
    "use_exponential_sigmas": False,
    "use_beta_sigmas": False,
}

SCHEDULERS: dict[Scheduler, tuple[type[Any], dict[str, Any]]] = {
    # Lu et al. 2022, "DPM-Solver++", with the noise levels of Karras et al. 2022, "Elucidating the
    # Design Space of Diffusion-Based Generative Models".
    "dpmpp_2m_karras": (DPMSolverMultistepScheduler, {**_OWN_LEVELS, "use_karras_sigmas": True}),
    "ddim": (DDIMScheduler, {"clip_sample": False}),
    "euler": (EulerDiscreteScheduler, _OWN_LEVELS),
    # For models that were distilled at the last timestep of each step (Lin et al. 2024,
    # "SDXL-Lightning").
    "euler_trailing": (
        EulerDiscreteScheduler,
        {**_OWN_LEVELS, "timestep_spacing": "trailing"},
    ),
    "unipc": (UniPCMultistepScheduler, _OWN_LEVELS),
    "pndm": (PNDMScheduler, {"skip_prk_steps": True}),
    # Luo et al. 2023, "Latent Consistency Models".
    "lcm": (LCMScheduler, {}),
}


def new_scheduler(default: Any, name: Scheduler | None, steps: int = 0) -> Any:
    """A new scheduler of that name; of the class of `default`, the pipeline's own, if it is None.

    Named schedulers are built from the configuration in the model's repository, also if `default`
    was built by this function: options of one scheduler do not reach another. `steps` is the number
    that the schedule will have, where it is known.
    """
    repository = getattr(default, "repository_scheduler", default)
    if name is None:
        scheduler = type(default).from_config(default.config)
    else:
        scheduler_class, changes = SCHEDULERS[name]
        scheduler = scheduler_class.from_config(repository.config, **changes)
    scheduler.repository_scheduler = repository
    if isinstance(scheduler, LCMScheduler):
        _allow_steps(scheduler, steps)
    return scheduler


def _allow_steps(scheduler: LCMScheduler, steps: int) -> None:
    """Let a schedule have more steps than the one that the model was distilled with, usually 50.

    Steps are chosen from the timesteps of that schedule. It gets as many as are needed, and a
    divisor of the training's number, so that the first step is still the last timestep.
    """
    config = scheduler.config
    if steps > config.original_inference_steps:
        trained = config.num_train_timesteps
        original = next(n for n in range(steps, trained + 1) if trained % n == 0)
        scheduler.register_to_config(original_inference_steps=original)
