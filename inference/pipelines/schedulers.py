"""The schedulers that a request may name, built from the model's own configuration."""

from __future__ import annotations

from typing import Any

from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    PNDMScheduler,
    UniPCMultistepScheduler,
)

from inference.types import Scheduler

SCHEDULERS: dict[Scheduler, tuple[type[Any], dict[str, Any]]] = {
    # Lu et al. 2022, "DPM-Solver++", with the noise levels of Karras et al. 2022, "Elucidating the
    # Design Space of Diffusion-Based Generative Models".
    "dpmpp_2m_karras": (DPMSolverMultistepScheduler, {"use_karras_sigmas": True}),
    "ddim": (DDIMScheduler, {"clip_sample": False}),
    "euler": (EulerDiscreteScheduler, {}),
    "unipc": (UniPCMultistepScheduler, {}),
    "pndm": (PNDMScheduler, {"skip_prk_steps": True}),
}


def new_scheduler(default: Any, name: Scheduler | None) -> Any:
    """A new scheduler of that name; of the class of `default`, the model's own, if it is None."""
    if name is None:
        return type(default).from_config(default.config)
    scheduler_class, changes = SCHEDULERS[name]
    return scheduler_class.from_config(default.config, **changes)
