"""The pool in the test's own thread, with the real step loop and fake models: turn by turn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from inference.engine.loop import SteppedEngine
from inference.engine.policy import BatchPolicy
from inference.errors import ModelNotLoaded, ModelNotOnHub, ModelTooLarge, ModelUnavailable
from inference.model_entry import ModelEntry
from inference.pool.pool import RETRY_SECONDS, ModelPool, Report
from inference.pool.switching import SwitchPolicy
from inference.service import DownloadProgress, ModelState, ModelStatus
from inference.types import ImageResult
from inference.worker.messages import (
    Cancel,
    Failed,
    Loading,
    ModelEngine,
    ModelStates,
    Ready,
    Started,
    Statistics,
    Submit,
)
from tests.support.engines import SynchronousExecutor
from tests.support.faults import FaultyModel
from tests.support.requests import request

SIZE = 100
LOAD_SECONDS = 20.0


class Pool:
    """A pool of the models a, b and c under a budget for two; time passes by command only."""

    def __init__(self, *, models: int = 2) -> None:
        self.now = 1000.0
        self.reports: list[object] = []
        self.errors: dict[str, list[Exception]] = {}
        self.loaded: list[str] = []
        self.on_load: Callable[[str, Report], None] = lambda _name, _report: None
        self.pool = ModelPool(
            tuple(ModelEntry(name=name, source="", licence="") for name in "abc"),
            self._load,
            SwitchPolicy(budget=models * SIZE),
            self.reports.append,
            clock=lambda: self.now,
        )

    def _load(self, entry: ModelEntry, report: Report) -> tuple[ModelEngine, Ready]:
        self.now += LOAD_SECONDS
        self.on_load(entry.name, report)
        if errors := self.errors.get(entry.name):
            raise errors.pop(0)
        self.loaded.append(entry.name)
        engine = SteppedEngine(
            FaultyModel(Path("unused"), step_seconds=0.0),
            report,
            BatchPolicy(row_limit=4, request_limit=2),
            SynchronousExecutor(),
        )
        return engine, Ready(slots=2, device="cpu", dtype="float32", weights=SIZE)

    def submit(self, *ids: str) -> None:
        """Requests of six steps; an id begins with its model's name."""
        for id_ in ids:
            self.pool.post(Submit(replace(request(id_), model=id_[0], prompt="fox", steps=6)))

    def turns(self, number: int) -> None:
        for _ in range(number):
            self.pool.turn()

    def run(self, *ids: str) -> None:
        """Take turns until all of these have ended."""
        for _ in range(200):
            if set(ids) <= {*self.results, *self.failures}:
                return
            self.pool.turn()
        raise AssertionError(f"{ids} have not ended: {self.results} {self.failures}")

    @property
    def results(self) -> list[str]:
        return [each.id for each in self.reports if isinstance(each, ImageResult)]

    @property
    def failures(self) -> dict[str, Exception]:
        return {each.id: each.error for each in self.reports if isinstance(each, Failed)}

    def states(self) -> dict[str, ModelState]:
        return {each.name: each.state for each in self.models()}

    def models(self) -> tuple[ModelStatus, ...]:
        return [each for each in self.reports if isinstance(each, ModelStates)][-1].models


@pytest.fixture
def pool() -> Pool:
    made = Pool()
    made.pool.start()
    return made


def test_requests_go_to_their_models_and_an_empty_name_to_the_default(pool: Pool) -> None:
    pool.pool.post(Submit(request("x", prompt="fox", steps=2)))
    pool.submit("a1", "b1")
    pool.run("x", "a1", "b1")
    assert pool.loaded == ["a", "b"]
    assert pool.states() == {
        "a": ModelState.LOADED,
        "b": ModelState.LOADED,
        "c": ModelState.UNLOADED,
    }


def test_two_loaded_models_take_turns(pool: Pool) -> None:
    pool.submit("a1", "b1")
    pool.run("a1", "b1")
    began = len(pool.reports)
    pool.submit("a2", "b2", "a3", "b3")
    pool.run("a2", "b2", "a3", "b3")
    started = [each.id[0] for each in pool.reports[began:] if isinstance(each, Started)]
    assert sorted(started[:2]) == ["a", "b"]


def test_the_requests_of_the_loaded_models_come_first_within_the_bound(pool: Pool) -> None:
    pool.submit("a1", "b1")
    pool.run("a1", "b1")
    pool.submit("c1", *(f"a{n}" for n in range(2, 30)), *(f"b{n}" for n in range(2, 30)))
    pool.turns(20)
    assert pool.loaded == ["a", "b"]
    pool.now += 4 * LOAD_SECONDS
    pool.run("c1")
    assert pool.loaded == ["a", "b", "c"]
    # One of the two was drained: at most the requests in its engine came before.
    assert "a29" not in pool.results
    pool.run(*(f"a{n}" for n in range(2, 30)))


def test_a_model_without_requests_makes_room_at_once(pool: Pool) -> None:
    pool.submit("a1", "b1")
    pool.run("a1", "b1")
    pool.submit("a2", "c1")
    pool.run("a2", "c1")
    assert pool.states()["b"] is ModelState.UNLOADED


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


def test_a_cancelled_request_ends_where_it_is(pool: Pool) -> None:
    pool.submit("b1", "a1", "a2")
    pool.turns(2)
    pool.submit("c1", "a3")
    for id_ in ("a1", "c1", "a3"):
        pool.pool.post(Cancel(id_))
    pool.run("b1", "a2")
    assert set(pool.results) == {"b1", "a2"}
    assert pool.loaded == ["a", "b"], "a model was loaded for a cancelled request"


def test_loading_is_shown_with_the_seconds_of_the_last_time(pool: Pool) -> None:
    pool.submit("b1")
    pool.run("b1")
    pool.submit("c1")
    pool.run("c1")
    seen: list[ModelStatus] = []
    pool.on_load = lambda _name, _report: seen.extend(pool.models())
    pool.submit("a1" if pool.states()["a"] is ModelState.UNLOADED else "b2")
    pool.turns(1)
    (loading,) = [each for each in seen if each.state is ModelState.LOADING]
    assert loading.load_seconds == LOAD_SECONDS
    assert loading.loads == 1


def test_a_download_does_not_count_as_loading_time(pool: Pool) -> None:
    def download(_name: str, report: Report) -> None:
        pool.now += 600.0
        progress = DownloadProgress(files=1, total_files=1, bytes=1, total_bytes=1)
        report(Loading("downloading", progress))
        pool.now += 7.0

    pool.on_load = download
    pool.submit("b1")
    pool.run("b1")
    assert pool.models()[1].load_seconds == 7.0


def test_statistics_count_all_models_also_those_that_moved_out(pool: Pool) -> None:
    for id_ in ("a1", "b1", "c1"):
        pool.submit(id_)
        pool.run(id_)
    last = [each for each in pool.reports if isinstance(each, Statistics)][-1]
    assert last.denoiser_calls == 18
