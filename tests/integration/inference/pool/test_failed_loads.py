"""Models of a pool whose loading fails, turn by turn in the test's own thread."""

from __future__ import annotations

import weakref

import pytest
import torch

from inference.errors import ModelNotLoaded, ModelNotOnHub, ModelTooLarge, ModelUnavailable
from inference.pool.pool import Report
from inference.service import ModelState
from inference.worker.excluded import RETRY_SECONDS, ExcludedModel
from inference.worker.messages import (
    Cancel,
)
from tests.integration.inference.pool.conftest import Pool


def test_a_model_that_cannot_be_loaded_fails_only_its_own_requests(pool: Pool) -> None:
    pool.errors["b"] = [ModelNotOnHub("The hub has no such repository.")]
    pool.submit("a1", "b1", "b2", "c1")
    pool.run("a1", "b1", "b2", "c1")
    assert sorted(pool.results) == ["a1", "c1"]
    assert {type(error) for error in pool.failures.values()} == {ModelNotLoaded}
    assert str(pool.failures["b1"]) == "b cannot be loaded: The hub has no such repository."
    assert pool.states()["b"] is ModelState.FAILED
    assert "no such repository" in pool.models()[1].failure


def test_a_failed_model_is_tried_again_after_some_minutes(pool: Pool) -> None:
    pool.errors["b"] = [ModelNotOnHub("gone"), ModelNotOnHub("gone")]
    pool.submit("b1")
    pool.run("b1")
    pool.submit("b2")
    pool.run("b2")
    assert len(pool.errors["b"]) == 1, "it was tried again at once"
    pool.now += RETRY_SECONDS
    pool.submit("b3")
    pool.run("b3")
    pool.now += RETRY_SECONDS
    pool.submit("b4")
    pool.run("b4")
    assert pool.results == ["b4"]
    assert pool.models()[1].failure == ""


def test_a_bug_while_loading_fails_only_that_model(
    pool: Pool, caplog: pytest.LogCaptureFixture
) -> None:
    pool.errors["b"] = [KeyError("unet")]
    pool.submit("b1", "a1")
    pool.run("b1", "a1")
    assert isinstance(pool.failures["b1"], ModelNotLoaded)
    assert "KeyError: 'unet'" in caplog.text


def test_a_device_fault_while_loading_ends_the_worker(pool: Pool) -> None:
    pool.errors["b"] = [torch.AcceleratorError("CUDA error: device-side assert triggered")]
    pool.submit("b1")
    with pytest.raises(torch.AcceleratorError):
        pool.turns(3)


@pytest.mark.parametrize(
    "error", [ModelTooLarge("too large"), torch.OutOfMemoryError("CUDA out of memory.")]
)
def test_a_model_that_lacks_memory_is_loaded_alone(pool: Pool, error: Exception) -> None:
    pool.errors["b"] = [error]
    pool.submit("a1", "b1")
    pool.run("a1", "b1")
    assert pool.results == ["a1", "b1"]
    assert pool.states() == {
        "a": ModelState.UNLOADED,
        "b": ModelState.LOADED,
        "c": ModelState.UNLOADED,
    }


def test_a_model_that_lacks_memory_alone_fails(pool: Pool) -> None:
    pool.errors["b"] = [ModelTooLarge("too large"), ModelTooLarge("too large")]
    pool.submit("b1", "a1")
    pool.run("b1", "a1")
    assert "too large" in str(pool.failures["b1"])
    assert pool.results == ["a1"]


def test_the_next_model_starts_the_worker_if_the_default_cannot_be_loaded() -> None:
    pool = Pool()
    pool.errors["a"] = [ModelNotOnHub("The hub has no such repository.")]
    pool.pool.start()
    assert pool.states() == {
        "a": ModelState.FAILED,
        "b": ModelState.LOADED,
        "c": ModelState.UNLOADED,
    }


def test_without_any_model_the_error_of_the_default_is_raised() -> None:
    pool = Pool()
    pool.errors |= {name: [ModelNotOnHub(f"no {name}")] for name in "abc"}
    with pytest.raises(ModelUnavailable, match="no a"):
        pool.pool.start()


@pytest.mark.parametrize(
    "error", [ModelTooLarge("too large"), torch.OutOfMemoryError("out of memory"), KeyError("unet")]
)
def test_no_model_counts_as_loading_after_its_loading_failed(pool: Pool, error: Exception) -> None:
    pool.errors["b"] = [error]
    pool.on_load = lambda name, _report: pool.pool.post(Cancel(f"{name}1"))
    pool.submit("b1")
    pool.turns(1)
    # The cancelled request is not in the pool any more: nothing else changes the states.
    pool.submit("a1")
    pool.run("a1")
    assert pool.loaded == ["a"]
    assert ModelState.LOADING not in pool.states().values()


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("out of memory"), KeyError("unet")])
def test_an_unexpected_error_of_the_default_does_not_prevent_the_start(error: Exception) -> None:
    pool = Pool()
    pool.errors["a"] = [error]
    pool.pool.start()
    assert pool.loaded == ["b"]
    assert pool.states()["a"] is ModelState.FAILED


def test_an_excluded_default_is_refused_until_its_retry_time() -> None:
    pool = Pool(excluded=[ExcludedModel("a", "it ended the worker.", 60.0)])
    pool.pool.start()
    pool.submit("a1", "b1")
    pool.run("a1", "b1")
    assert pool.loaded == ["b"]
    assert str(pool.failures["a1"]) == "a cannot be loaded: it ended the worker."
    assert pool.states()["a"] is ModelState.FAILED
    pool.now += 60.0
    pool.submit("a2")
    pool.run("a2")
    assert pool.results == ["b1", "a2"]


def test_excluded_models_are_loaded_if_there_is_no_other() -> None:
    pool = Pool(excluded=[ExcludedModel(name, "it ended the worker.", 60.0) for name in "abc"])
    pool.pool.start()
    assert pool.loaded == ["a"]


def test_a_device_fault_at_the_start_is_raised() -> None:
    pool = Pool()
    pool.errors["a"] = [torch.AcceleratorError("CUDA error: device-side assert triggered")]
    with pytest.raises(torch.AcceleratorError):
        pool.pool.start()
    assert pool.loaded == []


def test_the_parts_of_a_failed_loading_are_released_before_the_next_one() -> None:
    """Also parts in a reference cycle, and those in the frames of the error's traceback."""
    pool = Pool()
    parts: list[weakref.ref[Part]] = []
    left: list[bool] = []

    def load(name: str, _report: Report) -> None:
        left.extend(part() is not None for part in parts)
        part, held = Part(), Part()
        part.itself = part
        parts.extend((weakref.ref(part), weakref.ref(held)))
        if name == "a":
            raise ModelTooLarge("too large")

    pool.on_load = load
    pool.pool.start()
    assert pool.loaded == ["b"]
    assert left == [False, False]


class Part:
    """A part of a model; it may refer to itself."""

    itself: Part
