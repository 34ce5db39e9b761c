"""The worker's factory: the precision that it chooses, and the limits of its engine."""

from __future__ import annotations

import copy
import logging
import weakref
from dataclasses import replace
from typing import Any

import pytest
import torch

from inference.engine.loop import SteppedEngine
from inference.errors import InvalidModel, ModelTooLarge
from inference.families import build
from inference.families.build import build_engine
from inference.families.depth2img import Depth2ImgModel
from inference.models import find_model
from inference.pipelines import random_tiny
from inference.types import ImageRequest
from inference.worker.messages import Loading, WorkerConfig
from tests.support.engines import LIBRARY_WARNINGS

pytestmark = [
    LIBRARY_WARNINGS,
    pytest.mark.filterwarnings("ignore"),
]


@pytest.fixture(autouse=True)
def library_settings() -> Any:
    """The factory changes the libraries' verbosity for its whole process."""
    from diffusers.utils import logging as diffusers_logging

    before = diffusers_logging.get_verbosity()
    yield
    diffusers_logging.set_verbosity(before)


def config(dtype: str) -> WorkerConfig:
    """The check of a loaded model makes a picture of the entry's size."""
    small = replace(find_model("noise"), pixels=64 * 64)
    return WorkerConfig(entry=small, device="cpu", dtype=dtype)


def overflowing(part: str, factor: float) -> Any:
    """A pipeline whose values exceed a precision's range in one part."""
    pipe: Any = random_tiny.build()
    module = pipe.unet.conv_out if part == "unet" else pipe.vae.decoder.conv_out
    module.weight.data *= factor
    return pipe


def load(pipe: Any, monkeypatch: pytest.MonkeyPatch) -> list[torch.dtype]:
    """Let the factory load this pipeline; returns the precisions in which it does."""
    loaded: list[torch.dtype] = []

    def load_pipeline(_: Any, device: torch.device, dtype: torch.dtype, *__: Any) -> Any:
        loaded.append(dtype)
        return copy.deepcopy(pipe).to(device, dtype)

    monkeypatch.setattr(build, "load_pipeline", load_pipeline)
    return loaded


@pytest.mark.parametrize("part", ["unet", "vae"])
def test_a_precision_that_gives_invalid_values_is_replaced_by_the_next(
    part: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    loaded = load(overflowing(part, 1e7), monkeypatch)
    reported: list[Any] = []
    engine, ready = build_engine(config("float16"), reported.append)
    assert loaded == [torch.float16, torch.bfloat16]
    assert ready.dtype == "bfloat16"
    assert isinstance(engine, SteppedEngine)
    warnings = [r.message for r in caplog.records if r.levelno == logging.WARNING]
    assert "float16 gives invalid values here: using bfloat16" in warnings
    assert Loading("loading the model in bfloat16") in reported


@pytest.mark.parametrize("part", ["unet", "vae"])
def test_the_model_of_one_precision_is_gone_when_the_next_is_loaded(
    part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is invalid in every precision, and refused."""
    pipe = overflowing(part, float("nan"))
    loaded: list[weakref.ref[Any]] = []
    alive: list[int] = []
    precisions: list[torch.dtype] = []

    def load_pipeline(_: Any, device: torch.device, dtype: torch.dtype, *__: Any) -> Any:
        precisions.append(dtype)
        alive.append(sum(each() is not None for each in loaded))
        one = copy.deepcopy(pipe).to(device, dtype)
        loaded.extend(weakref.ref(one.components[name]) for name in ("unet", "depth_estimator"))
        return one

    monkeypatch.setattr(build, "load_pipeline", load_pipeline)
    with pytest.raises(InvalidModel, match="every precision"):
        build_engine(config("float16"), lambda _: None)
    assert alive == [0, 0, 0]
    assert precisions == [torch.float16, torch.bfloat16, torch.float32]


def test_a_valid_precision_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = load(random_tiny.build(), monkeypatch)
    _, ready = build_engine(config("float16"), lambda _: None)
    assert loaded == [torch.float16]
    assert ready.dtype == "float16"


@pytest.mark.parametrize("part", ["build_model", "gives_finite_values", "_stepped_engine"])
def test_a_model_that_loads_but_has_no_memory_to_work_is_too_large(
    part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_memory(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(build, part, no_memory)
    with pytest.raises(ModelTooLarge, match="noise does not fit"):
        build_engine(config("float32"), lambda _: None)


def test_on_a_cpu_the_catalogue_limits_the_requests() -> None:
    engine, ready = build_engine(
        WorkerConfig(entry=find_model("pocket"), device="cpu", dtype="float32"), lambda _: None
    )
    assert isinstance(engine, SteppedEngine)
    assert ready.slots == engine.policy.request_limit == 4
    assert engine.policy.row_limit == 8


def test_a_shape_without_memory_is_left_out_of_the_warm_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    warmed: list[tuple[int, int, int]] = []

    def warm_up(_: Depth2ImgModel, request: ImageRequest, rows: int) -> None:
        if rows > 4:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        warmed.append((request.width, request.height, rows))

    monkeypatch.setattr(Depth2ImgModel, "warm_up", warm_up)
    model = Depth2ImgModel(random_tiny.build())
    build._warm_up_sizes(model, ((64, 64), (128, 64)), rows=6)
    assert warmed == [(width, 64, rows) for rows in (1, 2, 4) for width in (64, 128)]


def test_the_warm_up_ends_after_some_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    warmed: list[tuple[int, int, int]] = []

    def warm_up(_: Depth2ImgModel, request: ImageRequest, rows: int) -> None:
        warmed.append((request.width, request.height, rows))

    monkeypatch.setattr(Depth2ImgModel, "warm_up", warm_up)
    model = Depth2ImgModel(random_tiny.build())
    # Each shape takes 4 seconds.
    build._warm_up_sizes(model, ((64, 64), (128, 64)), rows=6, clock=lambda: 4.0 * len(warmed))
    assert warmed == [(64, 64, 1), (128, 64, 1), (64, 64, 2)]


def test_another_error_of_the_warm_up_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def warm_up(*_: object) -> None:
        raise RuntimeError("bug")

    monkeypatch.setattr(Depth2ImgModel, "warm_up", warm_up)
    with pytest.raises(RuntimeError, match="bug"):
        build._warm_up_sizes(Depth2ImgModel(random_tiny.build()), ((64, 64),), rows=2)
