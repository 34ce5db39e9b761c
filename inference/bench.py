"""The benchmark: this engine, the plain way and fixed batches, on one mixed load in one run.

    python -m inference.bench --model tiny     a few seconds, for a look at the counted work
    python -m inference.bench --model pocket   the bundled model
    python -m inference.bench --model sd2      Stable Diffusion 2 depth at full size, random weights

Ratios within one run mean something; figures of two runs on a shared machine do not.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import os
import platform
import random
import resource
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from diffusers.utils import logging as diffusers_logging
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode

from inference import sd2, tiny
from inference.compiling import compile_unet
from inference.depth2img import Depth2ImgModel
from inference.devices import choose_device, choose_dtype
from inference.engine import Engine, Event
from inference.loading import load_pipeline
from inference.messages import Failed
from inference.models import find_model
from inference.types import Img2ImgRequest, Img2ImgResult

log = logging.getLogger("bench")

# Width and height in parts of the model's side: half of what people send is square.
ASPECTS = ((1.0, 1.0), (1.0, 1.0), (1.25, 0.75), (0.75, 1.25))


@dataclass
class Meter:
    """Counts UNet calls, the time that the device spends in the model's methods, and the host's
    seconds in the schedulers."""

    device: torch.device
    calls: int = 0
    rows: int = 0
    scheduling: float = 0.0
    _spans: list[tuple[Any, Any]] = field(default_factory=list)

    def count(self, _module: Any, args: tuple[Any, ...], _options: Any) -> None:
        """A forward hook for the UNet."""
        self.calls += 1
        self.rows += int(args[0].shape[0])

    def timed(self, method: Callable[..., Any]) -> Callable[..., Any]:
        """`method`, its span on the device recorded."""

        def call(*args: Any) -> Any:
            start = self._mark()
            try:
                return method(*args)
            finally:
                self._spans.append((start, self._mark()))

        return call

    def scheduled(self, step: Callable[..., Any]) -> Callable[..., Any]:
        """A scheduler's `step`, its time on the host added up."""

        def call(*args: Any, **options: Any) -> Any:
            start = time.perf_counter()
            try:
                return step(*args, **options)
            finally:
                self.scheduling += time.perf_counter() - start

        return call

    def _mark(self) -> Any:
        if self.device.type != "cuda":
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record()
        return event

    def idle(self) -> float | None:
        """The share of the time from the first span to the last that lies between them."""
        if len(self._spans) < 2:
            return None
        between = sum(
            _seconds(end, start)
            for (_, end), (start, _) in zip(self._spans, self._spans[1:], strict=False)
        )
        return between / _seconds(self._spans[0][0], self._spans[-1][1])


def _seconds(start: Any, end: Any) -> float:
    return float(end - start if isinstance(start, float) else start.elapsed_time(end) / 1000)


@dataclass(kw_only=True)
class Figures:
    """What one way of serving the load took; latencies count from the start of the run, when all
    requests are there at once."""

    way: str
    seconds: float
    latencies: list[float]
    unet_calls: int
    unet_rows: int
    idle: float | None = None
    scheduling: float = 0.0
    peak_bytes: int = 0


def load(number: int, side: int, multiple: int, seed: int) -> list[Img2ImgRequest]:
    """Requests as a community sends them: no two alike, the same ones for the same seed."""
    rng = random.Random(seed)  # noqa: S311 - a load is no secret
    made = []
    for index in range(number):
        across, down = rng.choice(ASPECTS)
        width, height = (
            max(1, round(side * part / multiple)) * multiple for part in (across, down)
        )
        coarse = Image.frombytes("RGB", (8, 8), rng.randbytes(192))
        made.append(
            Img2ImgRequest(
                id=f"r{index}",
                pixels=coarse.resize((width, height), Image.Resampling.BICUBIC).tobytes(),
                width=width,
                height=height,
                prompt=f"a picture of number {index}",
                strength=rng.choice([0.4, 0.6, 0.7, 0.8, 1.0]),
                steps=rng.choice([20, 25, 30]),
                guidance_scale=rng.choice([1.0, 5.0, 7.5, 7.5]),
                seed=index,
            )
        )
    return made


def run_plain(pipe: Any, wanted: Sequence[Img2ImgRequest], done: Callable[[int], None]) -> None:
    """The library's pipeline, one request after the other, as a notebook does it."""
    for one in wanted:
        _call(pipe, [one])
        done(1)


def run_fixed(
    pipe: Any, wanted: Sequence[Img2ImgRequest], done: Callable[[int], None], most: int
) -> None:
    """The library's pipeline over batches of requests whose settings are identical."""
    groups: dict[tuple[Any, ...], list[Img2ImgRequest]] = {}
    for one in wanted:
        same = (one.width, one.height, one.steps, one.strength, one.guidance_scale)
        groups.setdefault(same, []).append(one)
    for group in groups.values():
        for begin in range(0, len(group), most):
            batch = group[begin : begin + most]
            _call(pipe, batch)
            done(len(batch))


def _call(pipe: Any, batch: Sequence[Img2ImgRequest]) -> None:
    first = batch[0]
    pipe(
        prompt=[one.prompt for one in batch],
        image=[Image.frombytes("RGB", (one.width, one.height), one.pixels) for one in batch],
        strength=first.strength,
        num_inference_steps=first.steps,
        guidance_scale=first.guidance_scale,
        generator=[torch.Generator("cpu").manual_seed(one.seed) for one in batch],
    )


def run_engine(
    pipe: Any,
    wanted: Sequence[Img2ImgRequest],
    done: Callable[[int], None],
    rows: int,
    meter: Meter,
) -> None:
    """This engine, its step loop turned in this thread; as the worker sets it up."""
    model: Any = Depth2ImgModel(pipe)
    for name in ("prepare", "predict", "decode"):
        setattr(model, name, meter.timed(getattr(model, name)))
    prepare = model.prepare

    def prepare_watched(request: Img2ImgRequest) -> Any:
        one = prepare(request)
        one.scheduler.step = meter.scheduled(one.scheduler.step)
        return one

    model.prepare = prepare_watched
    left = len(wanted)

    def report(event: Event) -> None:
        nonlocal left
        if isinstance(event, Failed):
            raise event.error
        if isinstance(event, Img2ImgResult):
            left -= 1
            done(1)

    engine = Engine(model, report, row_limit=rows, request_limit=1 if rows <= 2 else rows)
    for one in wanted:
        engine.submit(one)
    while left:
        engine.turn()


def measure(way: str, pipe: Any, run: Callable[[Callable[[int], None], Meter], None]) -> Figures:
    """Run once, with the clock, the UNet's counter and the memory's high-water mark."""
    log.info("%s …", way)
    meter = Meter(pipe.device)
    hook = pipe.unet.register_forward_pre_hook(meter.count, with_kwargs=True)
    latencies: list[float] = []
    if pipe.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    with _settled(pipe.device):
        start = time.perf_counter()
        run(lambda n: latencies.extend([time.perf_counter() - start] * n), meter)
        seconds = time.perf_counter() - start
    hook.remove()
    return Figures(
        way=way,
        seconds=seconds,
        latencies=latencies,
        unet_calls=meter.calls,
        unet_rows=meter.rows,
        idle=meter.idle(),
        scheduling=meter.scheduling / seconds,
        peak_bytes=_peak(pipe.device),
    )


@contextmanager
def _settled(device: torch.device) -> Iterator[None]:
    if device.type == "cuda":
        torch.cuda.synchronize()
    yield
    if device.type == "cuda":
        torch.cuda.synchronize()


def _peak(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def work(pipe: Any, wanted: Sequence[Img2ImgRequest]) -> float:
    """Floating-point operations of the whole load, counted on one call a size and kind of row."""
    counted: dict[tuple[int, int, int], float] = {}
    total = 0.0
    for one in wanted:
        guided = 2 if one.guidance_scale > 1 else 1
        kind = (one.width, one.height, guided)
        steps = max(1, int(one.steps * one.strength))
        for number in (1, 2):
            key = (*kind[:2], kind[2] * 10 + number)
            if key not in counted:
                with FlopCounterMode(display=False) as counter:
                    pipe(
                        prompt=one.prompt,
                        image=Image.frombytes("RGB", (one.width, one.height), one.pixels),
                        strength=1.0,
                        num_inference_steps=number,
                        guidance_scale=one.guidance_scale,
                        output_type="np",
                    )
                counted[key] = float(counter.get_total_flops())
        first, second = (counted[(*kind[:2], kind[2] * 10 + number)] for number in (1, 2))
        total += first + (steps - 1) * (second - first)
    return total


def matrix_peak(device: torch.device, dtype: torch.dtype) -> float:
    """FLOP/s of this device's best square matrix product out of ten."""
    side = 8192 if device.type == "cuda" else 2048
    one = torch.randn(side, side, device=device).to(dtype)
    best = math.inf
    for _ in range(10):
        with _settled(device):
            start = time.perf_counter()
            torch.mm(one, one)
            if device.type == "cuda":
                torch.cuda.synchronize()
            best = min(best, time.perf_counter() - start)
    return 2.0 * side**3 / best


def build(name: str, device: torch.device, dtype: torch.dtype) -> tuple[Any, int, int]:
    """A pipeline, the side of its square picture, and what both sides are multiples of."""
    if name == "tiny":
        return tiny.build().to(device, dtype), 64, 64
    if name == "sd2":
        return sd2.build(device, dtype), 512, 64
    entry = find_model(name)
    pipe = load_pipeline(entry, device, dtype, Path(".cache"), lambda _: None)
    return pipe, math.isqrt(entry.pixels), entry.multiple


def machine(device: torch.device) -> str:
    """The device's name, and how much of the machine this process may use."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    names = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    found = [line.split(":")[1].strip() for line in names.splitlines() if "model name" in line]
    return f"{found[0] if found else platform.processor()}, {torch.get_num_threads()} threads"


def table(rounds: Sequence[Sequence[Figures]], flop: float, peak: float) -> str:
    """A Markdown table of the median round of every way, against the plain way's."""
    lines = [
        "| way | images/s | against plain | UNet calls | p50 latency, s | p95 latency, s "
        "| of matrix peak | idle between turns | in schedulers | peak memory, MiB |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    plain = rounds[0]
    for runs in rounds:
        # Ratios within a round: what else the machine did then, it did to both.
        ratio = statistics.median(a.seconds / b.seconds for a, b in zip(plain, runs, strict=True))
        middle = sorted(runs, key=lambda run: run.seconds)[len(runs) // 2]
        ordered = sorted(middle.latencies)
        p95 = ordered[math.ceil(0.95 * len(ordered)) - 1]
        idle = "" if middle.idle is None else f"{middle.idle:.1%}"
        scheduling = f"{middle.scheduling:.1%}" if middle.scheduling else ""
        lines.append(
            f"| {middle.way} | {len(ordered) / middle.seconds:.3g} | {ratio:.2f} "
            f"| {middle.unet_calls} | {statistics.median(ordered):.1f} | {p95:.1f} "
            f"| {flop / middle.seconds / peak:.2f} | {idle} | {scheduling} "
            f"| {middle.peak_bytes / 2**20:.0f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Run the load every way, print the table, write the JSON."""
    parser = argparse.ArgumentParser(prog="python -m inference.bench", description=__doc__)
    parser.add_argument("--model", default="tiny", help="tiny, sd2, a catalogue name, or a folder")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--requests", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--side", type=int, default=0, help="of the square pictures; 0: the model's"
    )
    parser.add_argument("--rows", type=int, default=0, help="batch rows; 0: 32, or 2 on a CPU")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--compile",
        action="store_true",
        help="compile the UNet, as the worker does on a GPU, for every way",
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
    pipe, side, multiple = build(options.model, device, dtype)
    pipe.set_progress_bar_config(disable=True)
    if device.type == "cuda":
        for part in (pipe.unet, pipe.vae):
            part.to(memory_format=torch.channels_last)
    rows = options.rows or (2 if device.type == "cpu" else 32)
    wanted = load(options.requests, options.side or side, multiple, options.seed)

    log.info("counting the work, which warms up too …")
    flop = work(pipe, wanted)
    peak = matrix_peak(device, dtype)
    # Not before: what is compiled cannot be counted.
    compiled = options.compile and compile_unet(pipe, (options.side or side) ** 2)
    fixed = max(1, rows // 2)
    ways: dict[str, Callable[[Callable[[int], None], Meter], None]] = {
        "plain": lambda done, _: run_plain(pipe, wanted, done),
        f"fixed batches of {fixed} at most": lambda done, _: run_fixed(pipe, wanted, done, fixed),
        "this engine": lambda done, meter: run_engine(pipe, wanted, done, rows, meter),
    }
    rounds: list[list[Figures]] = [[] for _ in ways]
    for number in range(options.rounds):
        # Turn about, so that no way is always the first or the last.
        order = list(enumerate(ways.items()))
        for index, (name, run) in order if number % 2 == 0 else reversed(order):
            rounds[index].append(measure(name, pipe, run))
    name = str(dtype).removeprefix("torch.")
    head = (
        f"{options.model} at {options.side or side} px, {len(wanted)} requests, {rows} rows, "
        f"{name}{', compiled' if compiled else ''}; {machine(device)}; torch "
        f"{torch.__version__}; matrix peak {peak / 1e12:.2f} TFLOP/s; load {flop / 1e12:.3g} TFLOP"
    )
    sys.stdout.write(f"{head}\n\n{table(rounds, flop, peak)}\n")
    if options.json:
        figures = [[asdict(run) for run in runs] for runs in rounds]
        told = {"run": head, "flop": flop, "matrix_peak": peak, "rounds": figures}
        options.json.write_text(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
