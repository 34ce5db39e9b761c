"""Shared by tests of the engine: random requests, the library's call, engines stepped by hand."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, Future
from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pytest
import torch

from inference.engine.device_time import DeviceClock
from inference.engine.loop import SteppedEngine
from inference.engine.policy import BatchPolicy
from inference.pipelines.schedulers import new_scheduler
from inference.types import ImageRequest, ImageResult, Progress, Scheduler
from inference.worker.messages import Event, Failed, Started, Submit
from tests.support.requests import request

LIBRARY_WARNINGS = pytest.mark.filterwarnings(
    # The pipeline enters autocast around its depth estimator in every precision.
    "ignore:In CPU autocast:UserWarning",
    # The schedulers pass tensors to numpy.
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning",
)
DISTILLED = ("lcm", "euler_trailing")
"""Schedulers for distilled models; tested with the families that have such models."""
SCHEDULERS: tuple[Scheduler, ...] = tuple(n for n in get_args(Scheduler) if n not in DISTILLED)
WORDS = ["a red fox in the snow", "a boat at night", "old stone bridge", "glass", "watercolour"]


def mixed(
    number: int, *, seed: int = 0, sizes: Iterable[tuple[int, int]] = ((64, 64),)
) -> list[ImageRequest]:
    """Requests with random settings; the same ones for the same seed."""
    rng = random.Random(seed)
    made = []
    for index in range(number):
        width, height = rng.choice(list(sizes))
        made.append(
            request(
                f"r{index}",
                width=width,
                height=height,
                prompt=rng.choice(WORDS),
                negative_prompt=rng.choice(["", "blue"]),
                strength=rng.choice([0.3, 0.5, 0.7, 0.9, 1.0]),
                steps=rng.choice([4, 6, 8, 12]),
                guidance_scale=rng.choice([1.0, 3.0, 7.5]),
                seed=rng.randrange(2**63),
                scheduler=SCHEDULERS[index % len(SCHEDULERS)],
            )
        )
    return made


def run_library(pipe: Any, wanted: ImageRequest, output_type: str = "latent") -> Any:
    """The library's own call for one request: latents, or pixels in 0..1."""
    from PIL import Image

    own = pipe.scheduler
    pipe.scheduler = new_scheduler(own, wanted.scheduler)
    try:
        return pipe(
            prompt=wanted.prompt,
            negative_prompt=wanted.negative_prompt or None,
            image=Image.frombytes("RGB", (wanted.width, wanted.height), wanted.pixels),
            strength=wanted.strength,
            num_inference_steps=wanted.steps,
            guidance_scale=wanted.guidance_scale,
            generator=torch.Generator("cpu").manual_seed(wanted.seed),
            output_type=output_type,
        ).images
    finally:
        pipe.scheduler = own


def run_alone(model: Any, wanted: ImageRequest) -> torch.Tensor:
    """The final latents of one request that the model steps without others."""
    one = prepare(model, wanted)
    while not one.finished:
        model.predict([one])
    latents: torch.Tensor = one.state.sample
    return latents


def prepare(model: Any, wanted: ImageRequest) -> Any:
    """The running state of one request that is prepared without others."""
    return model.prepare([model.load_inputs(wanted)])[0]


class SynchronousExecutor(Executor):
    """Runs each call at once in the calling thread, so that a test's turns are deterministic."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - raised by `Future.result`
            future.set_exception(error)
        return future


def relative(got: torch.Tensor, wanted: torch.Tensor) -> float:
    """The largest difference over the largest value."""
    return float((got - wanted).abs().max() / wanted.abs().max())


def array(result: ImageResult) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """The picture as (height, width, 3)."""
    return np.frombuffer(result.pixels, np.uint8).reshape(result.height, result.width, 3)


class Recorder:
    """Records the events of an engine with the turn in which each was reported."""

    def __init__(self) -> None:
        self.events: list[tuple[int, Event]] = []
        self.engine: SteppedEngine[Any, Any] | None = None

    def __call__(self, event: Event) -> None:
        turn = self.engine.turns if self.engine else 0
        self.events.append((turn, event))

    @property
    def results(self) -> dict[str, ImageResult]:
        return {e.id: e for _, e in self.events if isinstance(e, ImageResult)}

    @property
    def failures(self) -> dict[str, Exception]:
        return {e.id: e.error for _, e in self.events if isinstance(e, Failed)}

    def started(self, id_: str) -> int:
        """The turn in which a request was prepared."""
        return next(turn for turn, e in self.events if isinstance(e, Started) and e.id == id_)

    def steps(self, id_: str) -> list[int]:
        """The turns in which a request took its steps."""
        return [turn for turn, e in self.events if isinstance(e, Progress) and e.id == id_]


def new_engine(
    model: Any,
    *,
    row_limit: int = 2,
    request_limit: int = 64,
    admission_limit: int = 1,
    clock: DeviceClock | None = None,
    row_tokens: int = 1,
) -> tuple[SteppedEngine[Any, Any], Recorder]:
    """An engine whose turns a test takes one by one, and a recorder of its events."""
    recorder = Recorder()
    policy = BatchPolicy(
        row_limit=row_limit, request_limit=request_limit, admission_limit=admission_limit
    )
    engine = SteppedEngine(model, recorder, policy, SynchronousExecutor(), clock, row_tokens)
    recorder.engine = engine
    return engine, recorder


def finish(
    engine: SteppedEngine[Any, Any],
    recorder: Recorder,
    ids: Iterable[str],
    *,
    most_turns: int = 500,
) -> None:
    """Take turns until all of these requests have ended."""
    left = set(ids)
    for _ in range(most_turns):
        left -= recorder.results.keys() | recorder.failures.keys()
        if not left:
            return
        engine.turn()
    raise AssertionError(f"after {most_turns} turns {left} have not ended")


class CountingClock:
    """Each call takes one second: the time moves between two marks."""

    now = 0

    def mark(self) -> int:
        self.now += 1
        return self.now

    def seconds(self, begin: int, end: int) -> float:
        return end - begin

    def wait(self, mark: int) -> None:
        pass


OUT_OF_MEMORY = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
"""The error of torch's CUDA allocator."""


def failing(inner: Callable[..., Any], error: Exception, when: Callable[..., bool]) -> Any:
    """`inner`, but raising `error` where `when` is true of the arguments."""

    def call(*args: Any, **options: Any) -> Any:
        if when(*args):
            raise error
        return inner(*args, **options)

    return call


def picture_of(model: Any, wanted: ImageRequest) -> Any:
    """The picture that an engine makes of one request alone, as integers."""
    engine, recorder = new_engine(model, row_limit=64)
    engine.post(Submit(wanted))
    finish(engine, recorder, [wanted.id])
    assert not recorder.failures, recorder.failures
    return array(recorder.results[wanted.id]).astype(int)


def result_picture(recorder: Recorder, id_: str) -> Any:
    """A reported picture as integers, (height, width, 3)."""
    return array(recorder.results[id_]).astype(int)


def force_library_steps(model: Any) -> None:
    """Step every request of this model with the library's own scheduler."""
    plan = model.sampler.plan
    model.sampler.plan = lambda request: replace(plan(request), transitions=None)


def psnr(got: Any, wanted: Any) -> float:
    """Peak signal-to-noise ratio of 8-bit pictures, in dB."""
    error = np.mean((got.astype(float) - wanted.astype(float)) ** 2)
    return float("inf") if error == 0 else float(10 * np.log10(255**2 / error))


def worst_of_a_batch(model: Any, wanted: Iterable[ImageRequest]) -> float:
    """The lowest `psnr` between a request's picture in a batch and its picture alone."""
    alone = {}
    for one in wanted:
        engine, recorder = new_engine(model)
        engine.post(Submit(one))
        finish(engine, recorder, [one.id])
        alone[one.id] = array(recorder.results[one.id])
    engine, recorder = new_engine(model, row_limit=32)
    for one in wanted:
        engine.post(Submit(one))
    finish(engine, recorder, alone)
    return min(psnr(array(recorder.results[id_]), picture) for id_, picture in alone.items())
