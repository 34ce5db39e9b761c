"""How much faster `sd15-depth-lcm` is than `sd2-depth` on a CPU, at full size with random weights.

    python -m tests.benchmarks.few_steps

Each model makes one picture of 512 × 512 pixels with the settings of the catalogue, in a process of
its own, through the engine that the worker runs. The processor's time of the process does not
depend on what else the machine does; the wall-clock time does.
"""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Any

import torch

from inference.engine.loop import SteppedEngine
from inference.engine.policy import BatchPolicy
from inference.families.depth2img import Depth2ImgModel
from inference.families.sd import StableDiffusionModel
from inference.models import find_model
from inference.pipelines import random_sd2, random_sd15
from inference.types import ImageResult
from inference.worker.messages import Failed, Submit
from tests.support.requests import request

MODELS = ("sd2-depth", "sd15-depth-lcm")
CPU = torch.device("cpu")


def build(name: str) -> Any:
    """The model at full size with random weights."""
    if name == "sd2-depth":
        return Depth2ImgModel(random_sd2.build(CPU, torch.float32))
    return StableDiffusionModel(*random_sd15.build(CPU))


def measure(name: str) -> None:
    """Make one picture and print its times in seconds."""
    model, entry = build(name), find_model(name)
    results: list[ImageResult] = []

    def report(event: Any) -> None:
        if isinstance(event, Failed):
            raise event.error
        if isinstance(event, ImageResult):
            results.append(event)

    engine: Any = SteppedEngine(model, report, BatchPolicy(row_limit=2, request_limit=1))
    wanted = request(
        width=512,
        height=512,
        steps=entry.steps,
        strength=entry.strength,
        guidance_scale=entry.guidance_scale,
    )
    wall, processor = time.perf_counter(), time.process_time()
    engine.post(Submit(wanted))
    while not results:
        engine.turn()
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    print(f"{name} {results[0].steps_run} {wall:.1f} {processor:.1f}")


def main() -> None:
    """Measure both models and print the ratios."""
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
