"""Saves device memory at the cost of speed, for models that barely fit their device."""

from __future__ import annotations

import logging
from typing import Any

import torch
from accelerate import cpu_offload_with_hook
from accelerate.hooks import UserCpuOffloadHook

from inference.errors import ModelTooLarge
from inference.model_entry import ModelEntry
from inference.pipelines.devices import available_memory

log = logging.getLogger(__name__)

# The components that every step uses. They stay on the device.
DENOISERS = ("unet", "controlnet")


def saves_memory(entry: ModelEntry, device: torch.device, dtype: torch.dtype) -> bool:
    """Whether the model needs the settings that save memory; decided before it is loaded.

    Compares the device's free memory with the needs in the catalogue.

    Raises:
        ModelTooLarge: the free memory is too small even with these settings.
    """
    if entry.memory is None:
        return False
    free = available_memory(device) / 2**30
    needed, least = entry.memory.on(device.type, half=dtype != torch.float32)
    if free < least:
        raise ModelTooLarge(
            f"{entry.name} needs {least:.1f} GiB of memory on the device {device.type}, where "
            f"{free:.1f} GiB are free."
        )
    if free < needed:
        log.warning(
            "%s needs %.1f GiB of memory on the device, where %.1f GiB are free: it runs slower, "
            "with its encoders in the machine's memory",
            entry.name,
            needed,
            free,
        )
    return free < needed


def place(pipe: Any, device: torch.device, *, low_memory: bool) -> Any:
    """The pipeline on the device.

    With `low_memory`, the VAE works in slices and tiles, and all components except the denoiser
    stay in the machine's memory: accelerate moves each to the device for its own call. Pipelines
    without a UNet are offloaded by the library, including the denoiser.
    """
    if not low_memory:
        return pipe.to(device)
    pipe.vae.enable_slicing()
    pipe.vae.enable_tiling()
    if not hasattr(pipe, "unet"):
        pipe.enable_model_cpu_offload(device=device)
        return pipe
    hooks: list[UserCpuOffloadHook] = []
    for name, component in pipe.components.items():
        if name in DENOISERS:
            component.to(device)
        elif isinstance(component, torch.nn.Module):
            # The call of one component moves the one before it back.
            before = hooks[-1] if hooks else None
            hooks.append(cpu_offload_with_hook(component, device, prev_module_hook=before)[1])
    # The call of the first one, the VAE, moves the last one back, which has no successor.
    hooks[0].hook.prev_module_hook = hooks[-1]
    # The library takes the first component's device for the pipeline's.
    pipeline_class = type(pipe)
    pipe.__class__ = type(
        pipeline_class.__name__, (pipeline_class,), {"device": property(lambda _: device)}
    )
    return pipe
