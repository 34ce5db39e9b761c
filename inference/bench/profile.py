"""Profiles UNet calls on a GPU: `python -m inference.bench.profile`.

For each way of launching and each number of rows: the time of a call, the summed time of its
kernels, the number of launches, and the share of the time in which no kernel runs. Stable Diffusion
2 depth at full size with random weights, half precision, 512 × 512. Needs CUDA.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from diffusers.utils import logging as diffusers_logging
from torch.autograd import DeviceType  # type: ignore[attr-defined]
from torch.profiler import ProfilerActivity, profile

from inference.engine.cuda_graphs import ROWS as GRAPH_ROWS
from inference.engine.cuda_graphs import CudaGraphs
from inference.pipelines import random_sd2
from inference.pipelines.compile import compile_blocks

ROWS = (2, 8, 16, 32)
CALLS = 10
LATENT = 64

Denoiser = Callable[..., torch.Tensor]


def inputs_of(pipe: Any, rows: int, height: int = LATENT, width: int = LATENT) -> Any:
    """Random inputs of the UNet: sample, timesteps, text."""
    unet = pipe.unet
    options = {"device": unet.device, "dtype": unet.dtype}
    sample = torch.randn(rows, unet.config.in_channels, height, width, **options)
    text = torch.randn(rows, 77, unet.config.cross_attention_dim, **options)
    times = torch.full((rows,), 500.0, device=unet.device)
    return sample.contiguous(memory_format=torch.channels_last), times, text


def milliseconds(call: Callable[[], Any], calls: int = CALLS) -> float:
    """The mean time of a call; they are launched one after the other without a wait."""
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(calls):
        call()
    torch.cuda.synchronize()
    return (time.perf_counter() - start) / calls * 1000


def kernels(call: Callable[[], Any]) -> tuple[float, int, int]:
    """The summed milliseconds of one call's kernels, their number, and the host's launches."""
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as recorded:
        call()
        torch.cuda.synchronize()
    total, count, launches = 0.0, 0, 0
    for event in recorded.events():
        if event.device_type == DeviceType.CUDA:
            total += event.self_device_time_total / 1000
            count += 1
        elif "Launch" in event.name:
            launches += 1
    return total, count, launches


def measure(name: str, denoiser: Denoiser, pipe: Any, counts: Sequence[int]) -> list[str]:
    """A row of the table for each number of rows."""
    lines = []
    for rows in counts:
        values = inputs_of(pipe, rows)

        call = partial(denoiser, *values)
        first = milliseconds(call, 1)
        milliseconds(call, 4)
        wall = milliseconds(call)
        busy, count, launches = kernels(call)
        idle = max(0.0, 1 - busy / wall)
        lines.append(
            f"| {name} | {rows} | {first:.0f} | {wall:.1f} | {busy:.1f} | {count} | {launches} "
            f"| {idle:.0%} |"
        )
    return lines


def first_calls(denoiser: Denoiser, pipe: Any) -> list[str]:
    """The time of the first and the second call of further shapes: what a warm-up would save."""
    lines = []
    for rows in (2, 12, 28):
        for height, width in ((56, 72), (48, 80)):
            values = inputs_of(pipe, rows, height, width)
            times = [milliseconds(partial(denoiser, *values), 1) for _ in range(3)]
            lines.append(f"| {rows} × {8 * width} × {8 * height} | {_join(times)} |")
    return lines


def _join(times: list[float]) -> str:
    return " | ".join(f"{value:.0f}" for value in times)


@torch.no_grad()
def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m inference.bench.profile", description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=list(ROWS))
    parser.add_argument("--no-compile", action="store_true", help="leave the compiled variants out")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    diffusers_logging.set_verbosity_error()
    pipe: Any = random_sd2.build(torch.device("cuda"), torch.float16)
    pipe.unet.to(memory_format=torch.channels_last)

    def unet(sample: torch.Tensor, times: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = pipe.unet(
            sample, times, encoder_hidden_states=text, return_dict=False
        )[0]
        return output

    write = sys.stdout.write
    write(f"{torch.cuda.get_device_name()}; torch {torch.__version__}; float16\n\n")
    write("| first calls, eager | first, ms | second, ms | third, ms |\n|---|--:|--:|--:|\n")
    write("\n".join(first_calls(unet, pipe)) + "\n\n")
    columns = "rows | first call, ms | call, ms | kernels, ms | kernels | launches | idle"
    write(f"| launched | {columns} |\n")
    write("|---|--:|--:|--:|--:|--:|--:|--:|\n")
    variants: list[tuple[str, bool | None]] = [("eager", None)]
    if not options.no_compile:
        variants += [("transformer blocks compiled", False), ("all blocks compiled", True)]
    for name, resnets in variants:
        start = time.perf_counter()
        if resnets is not None:
            compile_blocks(pipe.unet, "inductor", resnets=resnets)
            for rows, height, width in ((3, LATENT, LATENT // 2), (2, LATENT, LATENT)):
                unet(*inputs_of(pipe, rows, height, width))
            torch.compiler.set_stance("eager_on_recompile")
            sys.stderr.write(f"{name}: {time.perf_counter() - start:.0f} s\n")
        write("\n".join(measure(name, unet, pipe, options.rows)) + "\n")
        graphs = CudaGraphs(unet)
        small = [rows for rows in options.rows if rows <= GRAPH_ROWS[-1]]
        lines = measure(f"{name}, CUDA graphs", graphs, pipe, small)
        write("\n".join(lines) + "\n")
        sys.stdout.flush()
        torch.compiler.set_stance("default")
    write(f"\npeak memory {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB\n")


if __name__ == "__main__":
    main()
