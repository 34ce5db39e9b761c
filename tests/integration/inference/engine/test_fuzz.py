"""Random prompts, settings and faults: the loop survives, and no request changes another.

Short here; `pytest -m slow tests/integration/inference/engine/test_fuzz.py -s` runs the long form
and prints its figures.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
import torch

from inference.errors import InferenceError
from inference.families.depth2img import Depth2ImgModel
from inference.pipelines import random_tiny
from inference.types import ImageRequest, Scheduler
from inference.worker.messages import Submit
from tests.support.engines import (
    LIBRARY_WARNINGS,
    OUT_OF_MEMORY,
    SCHEDULERS,
    finish,
    force_library_steps,
    new_engine,
)
from tests.support.requests import request

pytestmark = [LIBRARY_WARNINGS, pytest.mark.timeout(1200)]

SLOW = pytest.mark.slow

PIECES = (
    *("(", ")", "[", "]", "((", "))", "\\(", "\\)", "\\", ":", ":1.2", ":1.2)", ":0)", ":999)"),
    *(":-1)", ":.5)", ":1e9)", '"', "'", '("cat","dog").and()', ".blend(0.5, 0.5)", ".swap(x)"),
    *("++", "--", "{a|b}", "<lora:x:1>", "BREAK", "AND", ",", ".", "...", "\n", "\t", "\x00", " "),
    *("fox", "a red fox in the snow, ", "日本語の狐", "лиса", "ثعلب", "שועל", "สุนัขจิ้งจอก", "여우"),
    *("🦊", "👨‍👩‍👧‍👦", "e\u0301\u0302\u0303", "\u202e", "\ufeff", "x" * 300, "<|endoftext|>"),
)


def random_prompt(rng: random.Random) -> str:
    return "".join(rng.choice(PIECES) for _ in range(rng.choice([0, 1, 3, 10, 40])))


def serve(model: Depth2ImgModel, requests: Sequence[ImageRequest]) -> Any:
    engine, recorder = new_engine(model, row_limit=16, admission_limit=4)
    for one in requests:
        engine.post(Submit(one))
    finish(engine, recorder, [one.id for one in requests], most_turns=10_000)
    return recorder


@pytest.mark.parametrize("number", [100, pytest.param(2000, marks=SLOW)])
def test_any_prompt_gives_a_picture(model: Depth2ImgModel, number: int) -> None:
    rng = random.Random(number)
    pixels = request().pixels
    requests = [
        request(
            f"r{n}",
            pixels=pixels,
            prompt=random_prompt(rng),
            negative_prompt=random_prompt(rng),
            steps=1,
            guidance_scale=rng.choice([1.0, 7.5]),
        )
        for n in range(number)
    ]
    recorder = serve(model, requests)
    print(f"{number} prompts: {len(recorder.results)} pictures, {len(recorder.failures)} failures")
    assert len(recorder.results) == number


@pytest.mark.parametrize("number", [20, pytest.param(500, marks=SLOW)])
def test_any_settings_at_their_limits_give_a_picture_or_a_sentence(
    model: Depth2ImgModel, number: int
) -> None:
    rng = random.Random(number)
    choices: list[Scheduler | None] = [None, *SCHEDULERS]
    requests = [
        request(
            f"r{n}",
            width=64 * rng.choice([1, 1, 2, 4]),
            height=64 * rng.choice([1, 1, 2]),
            prompt=rng.choice(["", "fox", random_prompt(rng)]),
            strength=rng.choice([0.001, 0.05, 0.5, 0.999, 1.0]),
            steps=rng.choice([1, 2, 3, 10, 60]),
            guidance_scale=rng.choice([0.0, 1.0, 1.0001, 7.5, 30.0]),
            seed=rng.choice([0, 1, 2**32, 2**63 - 1]),
            scheduler=rng.choice(choices),
            preview=rng.random() < 0.5,
            return_depth=rng.random() < 0.5,
        )
        for n in range(number)
    ]
    recorder = serve(model, requests)
    failures = Counter(type(error).__name__ for error in recorder.failures.values())
    print(f"{number} settings: {len(recorder.results)} pictures, failures {dict(failures)}")
    assert len(recorder.results) + len(recorder.failures) == number
    assert all(isinstance(error, InferenceError) for error in recorder.failures.values())
    assert len(recorder.results) >= 0.9 * number


def batch_invariant(model: Depth2ImgModel) -> Depth2ImgModel:
    """Make the numbers independent of the batch: libraries choose other algorithms for one row than
    for several, and the last bits of the results differ."""
    call = model._call_denoiser

    def row_by_row(*inputs: torch.Tensor) -> torch.Tensor:
        rows = zip(*(part.split(1) for part in inputs), strict=True)  # type: ignore[no-untyped-call]
        return torch.cat([call(*row) for row in rows])

    model._call_denoiser = row_by_row  # type: ignore[assignment, method-assign]
    return model


PHASES = ("load_inputs", "prepare", "predict", "decode", "preview", "extra_outputs", "scheduler")
ERRORS: tuple[Exception, ...] = (
    RuntimeError("Sizes of tensors must match."),
    ValueError("wrong value"),
    IndexError(),
    OUT_OF_MEMORY,
    MemoryError(),
)


class Faults:
    """Raises errors in a phase of one request, a few times or always."""

    def __init__(self, model: Depth2ImgModel) -> None:
        self.id, self.phase, self.left = "", "", 0
        self.error: Exception = ValueError()
        for name in PHASES[:-1]:
            setattr(model, name, self._wrap(name, getattr(model, name)))
        model.sampler._step_by_library = self._wrap_scheduler(  # type: ignore[method-assign]
            model.sampler._step_by_library
        )
        self.state: Any = None

    def _wrap(self, phase: str, inner: Any) -> Any:
        def call(argument: Any, *more: Any) -> Any:
            values: list[Any] = argument if isinstance(argument, list) else [argument]
            ids = [getattr(value, "request", value).id for value in values]
            if phase == "predict" and self.phase == "scheduler":
                self.state = next((v.state for v in values if v.request.id == self.id), None)
            if phase == self.phase and self.id in ids and self.left:
                self.left -= 1
                raise self.error
            return inner(argument, *more)

        return call

    def _wrap_scheduler(self, inner: Any) -> Any:
        def call(state: Any, output: torch.Tensor) -> None:
            if state is self.state and self.left:
                self.left -= 1
                state.must_restart = True
                raise self.error
            inner(state, output)

        return call


@pytest.mark.parametrize("number", [8, pytest.param(500, marks=SLOW)])
def test_a_fault_in_any_phase_leaves_the_other_pictures_identical(number: int) -> None:
    # Without a cache and with one admission a turn, encoders never see two requests at once.
    model = batch_invariant(Depth2ImgModel(random_tiny.build(), cache_bytes=0))
    rng = random.Random(number)
    pool = [
        request(
            f"r{n}",
            seed=n,
            steps=3 + n % 3,
            strength=1.0,
            scheduler=SCHEDULERS[n],
            guidance_scale=[1.0, 5.0][n % 2],
            preview=True,
            return_depth=True,
        )
        for n in range(5)
    ]
    outcomes: Counter[str] = Counter()
    expected: dict[bool, dict[str, bytes]] = {}
    for by_library in (False, True):
        if by_library:
            force_library_steps(model)
        expected[by_library] = {}
        for one in pool:
            engine, recorder = new_engine(model, row_limit=16)
            engine.post(Submit(one))
            finish(engine, recorder, [one.id])
            expected[by_library][one.id] = recorder.results[one.id].pixels
        faults = Faults(model)
        for _ in range(number // 2):
            chosen = rng.sample(pool, 4)
            faults.id = chosen[rng.randrange(4)].id
            faults.phase = rng.choice(PHASES if by_library else PHASES[:-1])
            faults.error = rng.choice(ERRORS)
            faults.left = rng.choice([1, 2, 1000])
            engine, recorder = new_engine(model, row_limit=16)
            for one in chosen:
                engine.post(Submit(one))
            finish(engine, recorder, [one.id for one in chosen], most_turns=2000)
            for one in chosen:
                if one.id in recorder.results:
                    same = recorder.results[one.id].pixels == expected[by_library][one.id]
                    assert same, (one.id, faults.phase, faults.error)
                else:
                    assert one.id == faults.id
            survived = faults.id in recorder.results
            outcomes[f"{faults.phase}: {'picture' if survived else 'failure'}"] += 1
            faults.left = 0
    print(f"{number} faults: {dict(sorted(outcomes.items()))}")
