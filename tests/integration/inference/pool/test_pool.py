"""The pool in the test's own thread, with the real step loop and fake models: turn by turn."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from inference.errors import OutOfMemory
from inference.pool.pool import Report
from inference.service import DownloadProgress, ModelState, ModelStatus
from inference.worker.messages import (
    Cancel,
    Loading,
    Started,
    Statistics,
    Submit,
)
from tests.integration.inference.pool.conftest import LOAD_SECONDS, Pool
from tests.support.faults import FakeDenoising, FaultyModel
from tests.support.requests import request


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


def test_a_cancelled_request_ends_in_the_queue_and_in_the_engine(pool: Pool) -> None:
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


def test_idle_models_move_out_for_a_request_that_lacks_memory(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool.submit("b1")
    pool.run("b1")
    predict = FaultyModel.predict

    def predict_alone(
        model: FaultyModel, batch: Sequence[FakeDenoising], tiles: Sequence[int]
    ) -> None:
        if len(pool.pool.policy.loaded) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        predict(model, batch, tiles)

    monkeypatch.setattr(FaultyModel, "predict", predict_alone)
    pool.submit("a1")
    pool.run("a1")
    assert pool.results == ["b1", "a1"]
    assert pool.states()["b"] is ModelState.UNLOADED


def test_a_request_that_lacks_memory_is_tried_once_more_and_then_fails(pool: Pool) -> None:
    pool.submit("b1")
    pool.run("b1")
    pool.pool.post(Submit(request("a1", prompt="memory", steps=2)))
    pool.run("a1")
    assert isinstance(pool.failures["a1"], OutOfMemory)
    assert [each.id for each in pool.reports if isinstance(each, Started)] == ["b1", "a1", "a1"]
    pool.pool.post(Submit(request("a2", prompt="memory", steps=2)))
    pool.run("a2")
    started = [each.id for each in pool.reports if isinstance(each, Started)]
    assert started.count("a2") == 1, "no idle model was in memory"
