"""An error of one request fails that request only; only a device fault ends the loop."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from inference.errors import InferenceError, NonFiniteOutput
from inference.families.depth2img import Depth2ImgModel
from inference.pipelines import random_tiny
from inference.pipelines.devices import is_device_fault
from inference.worker.messages import Failed, Started, Submit
from tests.support.engines import (
    LIBRARY_WARNINGS,
    finish,
    force_library_steps,
    new_engine,
    picture_of,
    result_picture,
)
from tests.support.requests import request

pytestmark = LIBRARY_WARNINGS

WRONG_SIZES = RuntimeError("Sizes of tensors must match except in dimension 1.")
WRONG_VALUE = ValueError("wrong value")
OTHER_ERRORS = [
    IndexError("index out of range"),
    ZeroDivisionError(),
    NotImplementedError("no such operation"),
]

PARTS = ["load_inputs", "prepare", "predict", "decode", "preview", "extra_outputs"]


def request_ids(arguments: Any) -> set[str]:
    """The ids of the requests that a model's method is called for."""
    values: list[Any] = arguments if isinstance(arguments, list) else [arguments]
    return {getattr(value, "request", value).id for value in values}


def fail_for(model: Depth2ImgModel, part: str, id_: str, error: Exception) -> None:
    """Make a method of the model raise whenever the request is among its arguments."""
    inner = getattr(model, part)

    def call(argument: Any, *more: Any) -> Any:
        if id_ in request_ids(argument):
            raise error
        return inner(argument, *more)

    setattr(model, part, call)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize(
    "error",
    [
        WRONG_SIZES,
        WRONG_VALUE,
        *(pytest.param(error, marks=pytest.mark.slow) for error in OTHER_ERRORS),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_in_any_phase_fails_its_own_request(
    model: Depth2ImgModel, part: str, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    wanted = [request(f"r{n}", seed=n, preview=True, return_depth=True) for n in range(4)]
    fail_for(model, part, "r2", error)
    engine, recorder = new_engine(model, row_limit=8, admission_limit=4)
    for one in wanted:
        engine.post(Submit(one))
    finish(engine, recorder, [one.id for one in wanted])
    assert recorder.results.keys() == {"r0", "r1", "r3"}
    assert type(recorder.failures["r2"]) is InferenceError
    assert [getattr(record, "request", "") for record in caplog.records] == ["r2"]
    assert sum(isinstance(e, Failed) for _, e in recorder.events) == 1
    assert not engine._jobs
    assert not engine._inputs
    assert not engine.policy.running


@pytest.mark.parametrize("part", PARTS)
def test_an_error_with_a_sentence_of_its_own_reports_that_sentence(
    model: Depth2ImgModel, part: str
) -> None:
    fail_for(model, part, "one", NonFiniteOutput("a sentence"))
    engine, recorder = new_engine(model)
    engine.post(Submit(request(preview=True, return_depth=True)))
    finish(engine, recorder, ["one"])
    assert str(recorder.failures["one"]) == "a sentence"


def test_an_error_of_a_whole_batch_blames_nobody_if_each_request_works_alone(
    model: Depth2ImgModel,
) -> None:
    wanted = [request(f"r{n}", seed=n) for n in range(4)]
    expected = {one.id: picture_of(model, one) for one in wanted}
    predict = model.predict

    def only_alone(batch: Any, tiles: Any) -> None:
        if len(batch) > 1:
            raise RuntimeError("an error of the batch")
        predict(batch, tiles)

    model.predict = only_alone  # type: ignore[method-assign, assignment]
    engine, recorder = new_engine(model, row_limit=8)
    for one in wanted:
        engine.post(Submit(one))
    finish(engine, recorder, expected)
    assert not recorder.failures
    for id_, picture in expected.items():
        assert np.abs(result_picture(recorder, id_) - picture).max() <= 1


@pytest.mark.parametrize("times", [1, 2])
def test_a_request_that_fails_inside_its_scheduler_is_prepared_again_once(
    model: Depth2ImgModel, times: int
) -> None:
    wanted = [request(f"r{n}", seed=n, steps=8 + n, strength=1.0) for n in range(3)]
    expected = {one.id: picture_of(model, one) for one in wanted}
    force_library_steps(model)
    step_by_library = model.sampler._step_by_library
    failed: list[Any] = []

    def fail(state: Any, output: torch.Tensor) -> None:
        if state.plan.steps == 9 and state.step == 3 and len(failed) < times:
            failed.append(state)
            state.must_restart = True
            raise ValueError("wrong value")
        step_by_library(state, output)

    model.sampler._step_by_library = fail  # type: ignore[method-assign]
    engine, recorder = new_engine(model, row_limit=8)
    for one in wanted:
        engine.post(Submit(one))
    finish(engine, recorder, expected)
    assert recorder.failures.keys() == ({"r1"} if times == 2 else set())
    for id_ in recorder.results:
        assert np.abs(result_picture(recorder, id_) - expected[id_]).max() <= 1


def test_a_request_that_is_prepared_again_is_not_overtaken(model: Depth2ImgModel) -> None:
    force_library_steps(model)
    step_by_library = model.sampler._step_by_library
    failed: list[Any] = []

    def fail_once(state: Any, output: torch.Tensor) -> None:
        if not failed:
            failed.append(state)
            state.must_restart = True
            raise ValueError("wrong value")
        step_by_library(state, output)

    model.sampler._step_by_library = fail_once  # type: ignore[method-assign]
    engine, recorder = new_engine(model, request_limit=1)
    wanted = ["first", "second", "third"]
    for id_ in wanted:
        engine.post(Submit(request(id_, steps=2, strength=1.0)))
    finish(engine, recorder, wanted)
    started = [event.id for _, event in recorder.events if isinstance(event, Started)]
    assert started == ["first", "first", "second", "third"]


@pytest.mark.parametrize(
    "error",
    [
        torch.AcceleratorError("CUDA error: device-side assert triggered"),
        RuntimeError("CUDA error: an illegal memory access was encountered"),
        RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
        RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasGemmEx`"),
        RuntimeError("CUDA driver error: unknown error"),
    ],
)
@pytest.mark.parametrize("part", ["prepare", "predict", "decode", "preview"])
def test_a_device_fault_ends_the_loop(model: Depth2ImgModel, part: str, error: Exception) -> None:
    assert is_device_fault(error)
    fail_for(model, part, "one", error)
    engine, recorder = new_engine(model)
    engine.post(Submit(request(preview=True)))
    with pytest.raises(type(error)):
        engine.run()
    assert not recorder.results
    assert not recorder.failures


@pytest.mark.parametrize(
    "error",
    [
        WRONG_SIZES,
        WRONG_VALUE,
        *OTHER_ERRORS,
        torch.OutOfMemoryError("CUDA out of memory."),
        torch.AcceleratorError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`"),
        RuntimeError("The prompt speaks of the device."),
        ValueError("CUDA error"),
    ],
)
def test_other_errors_are_no_device_faults(error: Exception) -> None:
    assert not is_device_fault(error)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_non_finite_depth_map_is_an_error_of_its_request(
    model: Depth2ImgModel, value: float
) -> None:
    good, bad = request("good"), request("bad", seed=1)
    estimate = model.pipe.depth_estimator.forward
    broken_input = model.load_inputs(bad).host.depth_pixels
    assert broken_input is not None

    def forward(pixels: torch.Tensor, **options: Any) -> Any:
        out = estimate(pixels, **options)
        for index, picture in enumerate(pixels):
            if torch.equal(picture, broken_input[0]):
                out.predicted_depth[index, 3, 3] = value
        return out

    model.pipe.depth_estimator.forward = forward
    engine, recorder = new_engine(model, row_limit=8, admission_limit=2)
    for one in (good, bad):
        engine.post(Submit(one))
    finish(engine, recorder, ["good", "bad"])
    assert recorder.results.keys() == {"good"}
    assert "depth" in str(recorder.failures["bad"])


def test_the_depth_estimator_runs_in_float32_in_every_precision() -> None:
    model = Depth2ImgModel(random_tiny.build().to(dtype=torch.bfloat16))
    dtypes: list[torch.dtype] = []
    model.pipe.depth_estimator.register_forward_pre_hook(
        lambda _, args: dtypes.append(args[0].dtype)
    )
    picture_of(model, request())
    assert dtypes == [torch.float32]
    assert {part.dtype for part in model.pipe.depth_estimator.parameters()} == {torch.float32}
