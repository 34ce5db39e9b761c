"""A mixed load, the methods that serve it, and the figures measured for each."""

from __future__ import annotations

import logging
import math
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode

from inference.engine.loop import SteppedEngine
from inference.engine.policy import BatchPolicy
from inference.families.depth2img import Depth2ImgModel
from inference.types import ImageRequest, ImageResult
from inference.worker.messages import Event, Failed, Submit

log = logging.getLogger("bench")


@dataclass
class Meter:
    """Counts UNet calls and rows, and the host's time in guidance and schedules.

    With `hooked`, a hook counts the UNet's calls. A replay of a CUDA graph calls no hook.
    """

    device: torch.device
    hooked: bool = True
    calls: int = 0
    rows: int = 0
    scheduling: float = 0.0

    def count(self, _module: Any, args: tuple[Any, ...], _options: Any) -> None:
        """A forward hook for the UNet."""
        if self.hooked:
            self.add(args[0])

    def add(self, latents: torch.Tensor) -> None:
        """Count a call with these latents, (rows, C, H, W)."""
        self.calls += 1
        self.rows += len(latents)

    def counted(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """The function `call`, which takes the latents first, counted in place of the UNet."""
        self.hooked = False

        def count(latents: torch.Tensor, *others: Any) -> Any:
            self.add(latents)
            return call(latents, *others)

        return count

    def scheduled(self, step: Callable[..., Any]) -> Callable[..., Any]:
        """The function `step`, with its host time added to `scheduling`."""

        def call(*args: Any, **options: Any) -> Any:
            start = time.perf_counter()
            try:
                return step(*args, **options)
            finally:
                self.scheduling += time.perf_counter() - start

        return call


@dataclass(kw_only=True)
class Figures:
    """The figures of one method; latencies count from the start, when all requests are queued."""

    method: str
    seconds: float
    latencies: list[float]
    unet_calls: int
    unet_rows: int
    scheduling: float = 0.0
    peak_bytes: int = 0


Done = Callable[[int], None]
Run = Callable[[Done], None]


def run_baseline(pipe: Any, requests: Sequence[ImageRequest], done: Done) -> None:
    """The library's pipeline, one request after the other."""
    for one in requests:
        _call(pipe, [one])
        done(1)


def run_fixed(pipe: Any, requests: Sequence[ImageRequest], most: int, done: Done) -> None:
    """The library's pipeline over batches of at most `most` requests with identical settings."""
    groups: dict[tuple[Any, ...], list[ImageRequest]] = {}
    for one in requests:
        same = (one.width, one.height, one.steps, one.strength, one.guidance_scale)
        groups.setdefault(same, []).append(one)
    for group in groups.values():
        for begin in range(0, len(group), most):
            batch = group[begin : begin + most]
            _call(pipe, batch)
            done(len(batch))


def _call(pipe: Any, batch: Sequence[ImageRequest]) -> None:
    first = batch[0]
    pipe(
        prompt=[one.prompt for one in batch],
        image=[Image.frombytes("RGB", (one.width, one.height), one.pixels) for one in batch],
        strength=first.strength,
        num_inference_steps=first.steps,
        guidance_scale=first.guidance_scale,
        generator=[torch.Generator("cpu").manual_seed(one.seed) for one in batch],
    )


def start_engine(pipe: Any, requests: Sequence[ImageRequest], rows: int, meter: Meter) -> Run:
    """Set this engine up as the worker does before it is ready; the returned function serves the
    load in the caller's thread."""
    model: Any = Depth2ImgModel(pipe)
    if pipe.device.type == "cuda":
        model.use_cuda_graphs()
    model._denoise = meter.counted(model._denoise)
    # The schedulers' arithmetic, on the host.
    for name in ("begin", "take"):
        setattr(model.sampler, name, meter.scheduled(getattr(model.sampler, name)))

    def run(done: Done) -> None:
        left = len(requests)

        def report(event: Event) -> None:
            nonlocal left
            if isinstance(event, Failed):
                raise event.error
            if isinstance(event, ImageResult):
                left -= 1
                done(1)

        policy = BatchPolicy(
            row_limit=rows,
            request_limit=1 if rows <= 2 else 4 * rows,
            admission_limit=4 if pipe.device.type == "cuda" else 1,
        )
        engine = SteppedEngine(model, report, policy)
        for one in requests:
            engine.post(Submit(one))
        while left:
            engine.turn()

    return run


def measure(method: str, pipe: Any, start: Callable[[Meter], Run]) -> Figures:
    """Set a method up, then run it and record time, UNet calls and peak memory."""
    log.info("%s …", method)
    meter = Meter(pipe.device)
    hook = pipe.unet.register_forward_pre_hook(meter.count, with_kwargs=True)
    latencies: list[float] = []
    if pipe.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    run = start(meter)
    with _settled(pipe.device):
        begin = time.perf_counter()
        run(lambda n: latencies.extend([time.perf_counter() - begin] * n))
        seconds = time.perf_counter() - begin
    hook.remove()
    return Figures(
        method=method,
        seconds=seconds,
        latencies=latencies,
        unet_calls=meter.calls,
        unet_rows=meter.rows,
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


def work(pipe: Any, requests: Sequence[ImageRequest]) -> float:
    """Floating-point operations of the whole load, counted on one call a size and kind of row."""
    counted: dict[tuple[int, int, int], float] = {}
    total = 0.0
    for one in requests:
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
