"""GPU memory and speed of the catalogue's models, at full size with random weights.

    python -m tests.benchmarks.gpu_models [MODEL ...]

Each model runs in a process of its own, in the catalogue's half precision. It makes pictures of its
own size with the catalogue's settings. The memory is that of the first picture. The time is that of
a later one, without the first calls of its shapes. Speed and memory do not depend on the weights. A
LoRA is fused into the weights when a model is loaded, so that it takes no memory. Needs CUDA.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import warnings
from typing import Any

import torch
from diffusers.utils import logging as diffusers_logging

from inference.families.registry import build_model
from inference.model_entry import ModelEntry
from inference.models import find_model
from inference.pipelines import random_sd2
from inference.types import ImageRequest
from tests.benchmarks.full_size import klein, stable_diffusion, stable_diffusion_xl
from tests.support.engines import picture_of
from tests.support.requests import request

MODELS = (
    "sd2-depth",
    "sd15",
    "sd15-depth",
    "sd15-depth-lcm",
    "sdxl-turbo",
    "sdxl",
    "sdxl-depth",
    "sdxl-depth-lightning",
    "klein-4b",
)
CUDA = torch.device("cuda")


def build(entry: ModelEntry, dtype: torch.dtype) -> tuple[Any, Any]:
    """The pipeline and the depth estimator (or None) of a catalogue entry."""
    if entry.family == "depth2img":
        return random_sd2.build(CUDA, dtype), None
    if entry.family == "flux2_klein":
        return klein(CUDA, dtype), None
    options = {"control": entry.control is not None}
    if entry.family == "sd":
        return stable_diffusion(CUDA, dtype, tiny_vae=entry.tiny_vae is not None, **options)
    return stable_diffusion_xl(CUDA, dtype, **options)


def own_request(entry: ModelEntry) -> ImageRequest:
    """A request with the catalogue's size and settings."""
    side = int(entry.pixels**0.5)
    return request(
        width=side,
        height=side,
        strength=entry.strength,
        steps=entry.steps,
        guidance_scale=entry.guidance_scale,
        scheduler=entry.scheduler,
    )


@torch.no_grad()
def measure(name: str) -> None:
    """Print the figures of one model as JSON."""
    warnings.simplefilter("ignore")
    diffusers_logging.set_verbosity_error()
    entry = find_model(name)
    pipe, depth = build(entry, getattr(torch, entry.half_precision))
    pipe.set_progress_bar_config(disable=True)
    parts = [part for part in pipe.components.values() if isinstance(part, torch.nn.Module)]
    if depth is not None:
        parts.append(depth.model)
    parameters = sum(value.numel() for part in parts for value in part.parameters())
    for part in (getattr(pipe, "unet", None), getattr(pipe, "controlnet", None), pipe.vae):
        if part is not None:
            part.to(memory_format=torch.channels_last)
    model: Any = build_model(pipe, depth)
    wanted = own_request(entry)
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    picture_of(model, wanted)
    allocated, reserved = torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved()
    free, total = torch.cuda.mem_get_info()
    others = total - free - torch.cuda.memory_reserved()
    if model.use_cuda_graphs():
        # A shape is called several times before its graph is captured, and a picture may take two
        # steps only.
        for _ in range(3):
            picture_of(model, wanted)
    # The timed picture encodes its prompt and its source again.
    model.encoder.cache.clear()
    torch.cuda.synchronize()
    begin = time.perf_counter()
    picture_of(model, wanted)
    seconds = time.perf_counter() - begin
    figures = {
        "model": name,
        "parameters": parameters,
        "allocated": allocated / 2**30,
        "reserved": reserved / 2**30,
        "others": others / 2**30,
        "seconds": seconds,
    }
    print(json.dumps(figures))


def main() -> None:
    """Measure each model in a process of its own and print the table."""
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}\n")
    print(
        "| model | size | parameters, millions | allocated, GiB | reserved, GiB "
        "| CUDA's own, GiB | a picture, s |"
    )
    print("|---|--:|--:|--:|--:|--:|--:|")
    for name in sys.argv[1:] or MODELS:
        command = [sys.executable, "-m", "tests.benchmarks.gpu_models", "--one", name]
        ran = subprocess.run(command, capture_output=True, text=True)
        if ran.returncode:
            print(f"{name} failed:\n{ran.stderr[-2000:]}", flush=True)
            continue
        found = json.loads(ran.stdout.splitlines()[-1])
        side = int(find_model(name).pixels ** 0.5)
        print(
            f"| {name} | {side} | {found['parameters'] / 1e6:,.0f} | {found['allocated']:.2f} "
            f"| {found['reserved']:.2f} | {found['others']:.2f} | {found['seconds']:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        measure(sys.argv[2])
    else:
        main()
