"""The step loop: cancelling, deadlines, progress, and errors of single requests."""

from __future__ import annotations

import ctypes
import gc
import sys
import time
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import psutil
import pytest

from inference.errors import DeadlineExceeded, InferenceError, NonFiniteOutput
from inference.families.depth2img import Depth2ImgModel
from inference.pipelines import random_tiny
from inference.types import Progress
from inference.worker.messages import Cancel, Started, Submit
from tests.support.engines import (
    LIBRARY_WARNINGS,
    CountingClock,
    array,
    finish,
    new_engine,
    picture_of,
)
from tests.support.processes.forks import FORKS
from tests.support.requests import request

pytestmark = LIBRARY_WARNINGS

# prctl(2)
PR_SET_THP_DISABLE = 41


@pytest.mark.parametrize("where", ["waiting", "running", "between its last step and its decode"])
def test_a_cancelled_request_takes_no_further_step(model: Depth2ImgModel, where: str) -> None:
    engine, recorder = new_engine(model, row_limit=2 if where == "waiting" else 8)
    engine.post(Submit(request("other", steps=6, strength=1.0)))
    engine.post(Submit(request("gone", steps=4, strength=1.0, scheduler="ddim")))
    if where == "between its last step and its decode":
        # Both end in the same turn; one decode a turn leaves one of them for the next turn.
        engine.post(Submit(request("gone", steps=4, strength=1.0, scheduler="ddim")))
    for _ in range({"waiting": 2, "running": 3}.get(where, 5)):
        engine.turn()
    before = len(recorder.steps("gone"))
    engine.post(Cancel("gone"))
    finish(engine, recorder, ["other"])
    engine.post(Submit(request("after")))
    finish(engine, recorder, ["after"])
    assert len(recorder.steps("gone")) == before
    assert "gone" not in recorder.failures


def test_a_request_past_its_deadline_is_not_prepared(model: Depth2ImgModel) -> None:
    engine, recorder = new_engine(model)
    engine.post(Submit(request("late", deadline=time.time() - 1)))
    engine.post(Submit(request("in time", deadline=time.time() + 60)))
    finish(engine, recorder, ["late", "in time"])
    assert isinstance(recorder.failures["late"], DeadlineExceeded)
    started = [e.id for _, e in recorder.events if isinstance(e, Started)]
    assert started == ["in time"]


def test_progress_counts_every_step_and_has_previews_on_request(model: Depth2ImgModel) -> None:
    engine, recorder = new_engine(model)
    engine.post(Submit(request("seen", preview=True, steps=10, strength=0.5)))
    engine.post(Submit(request("unseen", steps=10, strength=0.5)))
    finish(engine, recorder, ["seen", "unseen"])
    progress = [e for _, e in recorder.events if isinstance(e, Progress)]
    for id_ in ("seen", "unseen"):
        assert [(e.step, e.total) for e in progress if e.id == id_] == [(n, 5) for n in range(1, 6)]
    assert all(e.preview is None for e in progress if e.id == "unseen")
    preview = next(e.preview for e in progress if e.preview)
    assert (preview.width, preview.height, len(preview.pixels)) == (8, 8, 8 * 8 * 3)


def test_non_finite_latents_fail_only_their_own_request(model: Depth2ImgModel) -> None:
    wanted = [request(f"r{n}", seed=n, steps=10) for n in range(4)]
    expected = picture_of(model, wanted[0])
    engine, recorder = new_engine(model, row_limit=8)
    for one in wanted:
        engine.post(Submit(one))
    for _ in range(4):
        engine.turn()
    list(engine._jobs.values())[2].running.state.sample[:] = float("nan")
    finish(engine, recorder, [one.id for one in wanted])
    assert isinstance(recorder.failures["r2"], NonFiniteOutput)
    assert recorder.results.keys() == {"r0", "r1", "r3"}
    assert np.abs(array(recorder.results["r0"]).astype(int) - expected).max() <= 1


def test_an_error_in_preparation_fails_its_request_and_is_logged(
    model: Depth2ImgModel, caplog: pytest.LogCaptureFixture
) -> None:
    engine, recorder = new_engine(model, row_limit=8)
    engine.post(Submit(request("good")))
    engine.post(Submit(request("short", pixels=b"too few")))
    finish(engine, recorder, ["good", "short"])
    assert type(recorder.failures["short"]) is InferenceError
    assert "good" in recorder.results
    assert [getattr(record, "request", "") for record in caplog.records] == ["short"]


@pytest.mark.parametrize("number", [200, pytest.param(1000, marks=pytest.mark.slow)])
def test_many_requests_do_not_grow_the_process(number: int) -> None:
    """In a fresh process: memory that earlier tests left in the allocator would add noise."""
    with ProcessPoolExecutor(1, mp_context=FORKS) as fresh:
        grown = fresh.submit(growth, number).result()
    print(f"{number} requests: {grown / 2**20:.2f} MiB")
    # Less than half of the size of their source pictures.
    assert grown < number * 5 * 2**10


def growth(number: int) -> int:
    """Bytes by which the process grows over `number` requests after a warm-up; half of them are
    finished and half cancelled."""
    # Without huge pages: one is larger than the growth that is measured.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0)
    process, model = psutil.Process(), Depth2ImgModel(random_tiny.build())

    def round_of(ids: list[str]) -> None:
        engine, recorder = new_engine(model, row_limit=16)
        for n, id_ in enumerate(ids):
            engine.post(Submit(request(id_, seed=n % 7, steps=1, strength=1.0, guidance_scale=1.0)))
        for n, id_ in enumerate(ids[::2]):
            if n % 4 == 0:
                engine.turn()
            engine.post(Cancel(id_))
        finish(engine, recorder, ids[1::2], most_turns=2 * len(ids))
        assert len(recorder.results) >= len(ids) // 2

    def settled() -> int:
        gc.collect()
        # Return free memory to the system, of which the allocator keeps some MiB.
        if hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
            libc.malloc_trim(0)
        return int(process.memory_info().rss)

    round_of([f"warm {n}" for n in range(200)])
    before = settled()
    for start in range(0, number, 200):
        round_of([f"r{start + n}" for n in range(200)])
    return settled() - before


def test_the_device_time_of_every_call_is_divided_among_its_requests(model: Depth2ImgModel) -> None:
    wanted = [
        request("guided", steps=8, strength=1.0, guidance_scale=7.0),
        request("plain", steps=8, strength=1.0, guidance_scale=1.0),
        request("wide", width=128, steps=3, strength=1.0),
    ]
    engine, recorder = new_engine(model, row_limit=8, admission_limit=2, clock=CountingClock())
    for one in wanted:
        engine.post(Submit(one))
    model.denoiser_calls = 0
    finish(engine, recorder, [one.id for one in wanted])
    seconds = {id_: result.timings.device for id_, result in recorder.results.items()}
    # Two preparations, because of the admission limit, and three decodes.
    assert sum(seconds.values()) == pytest.approx(model.denoiser_calls + 2 + 3)
    assert seconds["guided"] > seconds["plain"] > 1.0
