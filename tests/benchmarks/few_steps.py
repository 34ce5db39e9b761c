"""How much faster `sd15-depth-lcm` is than `sd2-depth` on a CPU, at full size with random weights.

    python -m tests.benchmarks.few_steps

Each model makes one picture of 512 × 512 pixels with the settings of the catalogue, in a process of
its own, through the engine that the worker runs. Of `sd2-depth` only some of the steps are run. The
processor's time of a process does not depend on what else the machine does; the wall-clock time
does.
"""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from inference.engine.loop import SteppedEngine
from inference.engine.policy import BatchPolicy
from inference.families.depth2img import Depth2ImgModel
from inference.families.sd import StableDiffusionModel
from inference.models import find_model
from inference.pipelines import random_sd2, random_sd15
from inference.types import ImageResult, Progress
from inference.worker.messages import Failed, Submit
from tests.support.requests import request

MODELS = ("sd2-depth", "sd15-depth-lcm")
MEASURED_STEPS = 4
"""Steps that are run; the time of the others is that of these."""
CPU = torch.device("cpu")


def build(name: str) -> Any:
    """The model at full size with random weights."""
    if name == "sd2-depth":
        return Depth2ImgModel(random_sd2.build(CPU, torch.float32))
    return StableDiffusionModel(*random_sd15.build(CPU))


def measure(name: str) -> None:
    """Make one picture of at most `MEASURED_STEPS` steps; print the times of the whole picture."""
    model, entry = build(name), find_model(name)
    steps = int(entry.steps * entry.strength)
    results: list[ImageResult] = []
    ticks: list[tuple[float, float]] = []

    def now() -> tuple[float, float]:
        return time.perf_counter(), time.process_time()

    def report(event: Any) -> None:
        if isinstance(event, Failed):
            raise event.error
        if isinstance(event, Progress):
            ticks.append(now())
        if isinstance(event, ImageResult):
            results.append(event)

    engine: Any = SteppedEngine(model, report, BatchPolicy(row_limit=2, request_limit=1))
    wanted = request(
        width=512,
        height=512,
        steps=min(steps, MEASURED_STEPS),
        strength=1.0,
        guidance_scale=entry.guidance_scale,
    )
    begin = now()
    engine.post(Submit(wanted))
    while not results:
        engine.turn()
    end, taken = now(), len(ticks)
    totals = []
    for clock in range(2):
        step = (ticks[-1][clock] - ticks[0][clock]) / (taken - 1)
        totals.append(end[clock] - begin[clock] + (steps - taken) * step)
    print(f"{name} {steps} {totals[0]:.1f} {totals[1]:.1f}")


def counted_work(name: str) -> float:
    """Floating-point operations of the picture's models; `meta` tensors compute nothing."""
    meta = torch.device("meta")
    entry = find_model(name)
    steps = int(entry.steps * entry.strength)
    if name == "sd2-depth":
        pipe: Any = random_sd2.build(meta, torch.float32)
        estimator, side, rows = pipe.depth_estimator, 384, 2
    else:
        pipe, depth = random_sd15.build(meta)
        estimator, side, rows = depth.model, 518, 1
    unet, times = pipe.unet, torch.zeros(rows, device=meta)
    latents = torch.zeros(rows, unet.config.in_channels, 64, 64, device=meta)
    text = torch.zeros(rows, 77, unet.config.cross_attention_dim, device=meta)
    picture = torch.zeros(1, 3, 512, 512, device=meta)
    with FlopCounterMode(display=False) as once:
        pipe.text_encoder(torch.zeros(rows, 77, dtype=torch.long, device=meta))
        pipe.vae.encode(picture)
        pipe.vae.decode(torch.zeros(1, 4, 64, 64, device=meta))
        estimator(torch.zeros(1, 3, side, side, device=meta))
    with FlopCounterMode(display=False) as step:
        unet(latents, times, encoder_hidden_states=text)
        if name != "sd2-depth":
            pipe.controlnet(latents, times, encoder_hidden_states=text, controlnet_cond=picture)
    return float(once.get_total_flops() + steps * step.get_total_flops())


def main() -> None:
    """Measure both models and print the ratios."""
    work = {name: counted_work(name) for name in MODELS}
    for name, flops in work.items():
        print(f"{name} {flops / 1e12:.2f} TFLOP")
    print(f"ratio: counted work {work[MODELS[0]] / work[MODELS[1]]:.1f}", flush=True)
    rows = []
    for name in MODELS:
        done = subprocess.run(
            [sys.executable, "-m", "tests.benchmarks.few_steps", name],
            check=True,
            capture_output=True,
            text=True,
        )
        line = done.stdout.splitlines()[-1]
        print(line, flush=True)
        rows.append([float(part) for part in line.split()[1:]])
    (_, wall, processor), (_, fast_wall, fast_processor) = rows
    print(f"ratio: wall clock {wall / fast_wall:.1f}, processor {processor / fast_processor:.1f}")


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    measure(sys.argv[1]) if len(sys.argv) > 1 else main()
