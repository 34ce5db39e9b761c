"""A mixed load, the methods that serve it, and the figures measured for each."""

from __future__ import annotations

import logging
import math
import random
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode

from inference.engine.loop import SteppedEngine
from inference.engine.policy import BatchPolicy
from inference.families.depth2img import Depth2ImgModel
from inference.types import Img2ImgRequest, Img2ImgResult
from inference.worker.messages import Event, Failed, Submit

log = logging.getLogger("bench")

ASPECTS = ((1.0, 1.0), (1.0, 1.0), (1.25, 0.75), (0.75, 1.25))
"""Width and height in parts of the model's side."""


@dataclass
class Meter:
    """Counts UNet calls, the device's time in the model's methods and the host's in schedulers."""

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
        """`method`, with its time span on the device recorded."""

        def call(*args: Any) -> Any:
            start = self._mark()
            try:
                return method(*args)
            finally:
                self._spans.append((start, self._mark()))

        return call

    def scheduled(self, step: Callable[..., Any]) -> Callable[..., Any]:
        """A scheduler's `step`, with its host time added to `scheduling`."""

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
    """The figures of one method; latencies count from the start, when all requests are queued."""

    method: str
    seconds: float
    latencies: list[float]
    unet_calls: int
    unet_rows: int
    idle: float | None = None
    scheduling: float = 0.0
    peak_bytes: int = 0


def load(number: int, side: int, multiple: int, seed: int) -> list[Img2ImgRequest]:
    """Requests with random settings; the same ones for the same seed."""
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


Done = Callable[[int], None]
Run = Callable[[Done], None]


def run_baseline(pipe: Any, requests: Sequence[Img2ImgRequest], done: Done) -> None:
    """The library's pipeline, one request after the other."""
    for one in requests:
        _call(pipe, [one])
        done(1)


def run_fixed(pipe: Any, requests: Sequence[Img2ImgRequest], most: int, done: Done) -> None:
    """The library's pipeline over batches of at most `most` requests with identical settings."""
    groups: dict[tuple[Any, ...], list[Img2ImgRequest]] = {}
    for one in requests:
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


def start_engine(pipe: Any, requests: Sequence[Img2ImgRequest], rows: int, meter: Meter) -> Run:
    """Set this engine up as the worker does before it is ready; the returned function serves the
    load in the caller's thread."""
    model: Any = Depth2ImgModel(pipe)
    for name in ("prepare", "predict", "decode"):
        setattr(model, name, meter.timed(getattr(model, name)))
    # Guidance and the schedulers' arithmetic, on the host.
    for name in ("begin", "finish"):
        setattr(model.sampler, name, meter.scheduled(getattr(model.sampler, name)))

    def run(done: Done) -> None:
        left = len(requests)

        def report(event: Event) -> None:
            nonlocal left
            if isinstance(event, Failed):
                raise event.error
            if isinstance(event, Img2ImgResult):
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


def work(pipe: Any, requests: Sequence[Img2ImgRequest]) -> float:
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
