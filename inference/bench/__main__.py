"""Benchmark: this engine, a baseline and fixed batches on one mixed load in one run.

    python -m inference.bench --model tiny     a few seconds, for the counted work
    python -m inference.bench --model pocket   the bundled model
    python -m inference.bench --model sd2      Stable Diffusion 2 depth at full size, random weights

Compare figures within one run only: other work on the machine changes between runs.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import os
import platform
import statistics
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
from diffusers.utils import logging as diffusers_logging

from inference.bench.load import Canvas, requests
from inference.bench.methods import (
    Figures,
    Meter,
    Run,
    matrix_peak,
    measure,
    run_baseline,
    run_fixed,
    start_engine,
    work,
)
from inference.models import find_model
from inference.pipelines import random_sd2, random_tiny
from inference.pipelines.compile import compile_unet
from inference.pipelines.devices import choose_device, choose_dtype
from inference.pipelines.load import load_pipeline

log = logging.getLogger("bench")


def build(name: str, device: torch.device, dtype: torch.dtype) -> tuple[Any, Canvas]:
    """A pipeline, and the canvas of its requests."""
    if name == "tiny":
        canvas = Canvas(pixels=64 * 64, multiple=64)
        return random_tiny.build().to(device, dtype), canvas
    if name == "sd2":
        entry = find_model("sd2-depth")
        pipe = random_sd2.build(device, dtype)
    else:
        entry = find_model(name)
        pipe = load_pipeline(entry, device, dtype, Path(".cache"), lambda _: None)
    return pipe, Canvas(pixels=entry.pixels, multiple=entry.multiple, sizes=entry.sizes)


def machine(device: torch.device) -> str:
    """The name of the device, and on a CPU the number of threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    names = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    found = [line.split(":")[1].strip() for line in names.splitlines() if "model name" in line]
    return f"{found[0] if found else platform.processor()}, {torch.get_num_threads()} threads"


def table(rounds: Sequence[Sequence[Figures]], flop: float, peak: float) -> str:
    """A Markdown table of each method's median round, compared with the baseline."""
    lines = [
        "| method | images/s | against baseline | UNet calls | rows a call | p50 latency, s "
        "| p95 latency, s | of matrix peak | in schedules | peak memory, MiB |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    baseline = rounds[0]
    for runs in rounds:
        # Ratios within a round: other work on the machine slows both methods of a round.
        ratio = statistics.median(
            a.seconds / b.seconds for a, b in zip(baseline, runs, strict=True)
        )
        middle = sorted(runs, key=lambda run: run.seconds)[len(runs) // 2]
        ordered = sorted(middle.latencies)
        p95 = ordered[math.ceil(0.95 * len(ordered)) - 1]
        rows = middle.unet_rows / middle.unet_calls
        scheduling = f"{middle.scheduling:.1%}" if middle.scheduling else ""
        lines.append(
            f"| {middle.method} | {len(ordered) / middle.seconds:.3g} | {ratio:.2f} "
            f"| {middle.unet_calls} | {rows:.1f} | {statistics.median(ordered):.1f} | {p95:.1f} "
            f"| {flop / middle.seconds / peak:.2f} | {scheduling} "
            f"| {middle.peak_bytes / 2**20:.0f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Run every method, print the table, write the JSON."""
    parser = argparse.ArgumentParser(prog="python -m inference.bench", description=__doc__)
    parser.add_argument("--model", default="tiny", help="tiny, sd2, a catalogue name, or a folder")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--requests", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--warm-up",
        type=int,
        default=-1,
        help="rounds that are not counted; default: 1 on a GPU, where the first use of each shape "
        "is slow, and 0 on a CPU",
    )
    parser.add_argument("--rows", type=int, default=0, help="batch rows; 0: 32, or 2 on a CPU")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--skip-fixed", action="store_true", help="leave fixed batches out")
    parser.add_argument(
        "--compile",
        action="store_true",
        help="compile the UNet's blocks for every method; the worker does not",
    )
    parser.add_argument("--json", type=Path, help="where to write all figures")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    warnings.simplefilter("ignore")
    diffusers_logging.set_verbosity_error()

    device = choose_device(options.device)
    if device.type == "cpu" and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(len(os.sched_getaffinity(0)))
    dtype = choose_dtype(options.dtype, device)
    pipe, canvas = build(options.model, device, dtype)
    pipe.set_progress_bar_config(disable=True)
    if device.type == "cuda":
        for part in (pipe.unet, pipe.vae):
            part.to(memory_format=torch.channels_last)
    rows = options.rows or (2 if device.type == "cpu" else 32)
    load = requests(options.requests, canvas, options.seed)

    log.info("counting the work, which warms up too …")
    flop = work(pipe, load)
    peak = matrix_peak(device, dtype)
    # After counting: compiled code cannot be counted.
    compiled = options.compile and compile_unet(pipe, canvas.pixels)
    fixed = max(1, rows // 2)
    methods: dict[str, Callable[[Meter], Run]] = {
        "baseline": lambda _: partial(run_baseline, pipe, load),
        f"fixed batches of {fixed} at most": lambda _: partial(run_fixed, pipe, load, fixed),
        "this engine": lambda meter: start_engine(pipe, load, rows, meter),
    }
    if options.skip_fixed:
        methods = {name: start for name, start in methods.items() if "fixed" not in name}
    warm_up = options.warm_up if options.warm_up >= 0 else int(device.type == "cuda")
    for _ in range(warm_up):
        for name, start in methods.items():
            measure(f"warm-up: {name}", pipe, start)
    rounds: list[list[Figures]] = [[] for _ in methods]
    for number in range(options.rounds):
        # Alternating order, so that no method is always the first or the last.
        order = list(enumerate(methods.items()))
        for index, (name, start) in order if number % 2 == 0 else reversed(order):
            rounds[index].append(measure(name, pipe, start))
    name = str(dtype).removeprefix("torch.")
    head = (
        f"{options.model} at {canvas.pixels} pixels, {len(load)} requests, {rows} rows, "
        f"{name}{', compiled' if compiled else ''}; {machine(device)}; torch "
        f"{torch.__version__}; matrix peak {peak / 1e12:.2f} TFLOP/s; load {flop / 1e12:.3g} TFLOP"
    )
    sys.stdout.write(f"{head}\n\n{table(rounds, flop, peak)}\n")
    if options.json:
        figures = [[asdict(run) for run in runs] for runs in rounds]
        report = {"run": head, "flop": flop, "matrix_peak": peak, "rounds": figures}
        options.json.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
