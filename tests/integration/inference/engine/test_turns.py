"""The order of turns in the step loop: shared calls, and a bound on every wait."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from inference.engine import outputs
from inference.families.depth2img import Depth2ImgModel
from inference.types import ImageResult, Progress
from inference.worker.messages import Cancel, Started, Submit
from tests.support.engines import LIBRARY_WARNINGS, finish, mixed, new_engine, prepare
from tests.support.requests import request

pytestmark = LIBRARY_WARNINGS

SIZES = ((64, 64), (128, 64), (64, 128), (192, 64))


def test_thirty_two_mixed_requests_take_at_most_two_fifths_of_the_unet_calls(
    model: Depth2ImgModel,
) -> None:
    wanted = mixed(32, seed=1, sizes=((64, 64), (128, 64)))
    one_at_a_time = sum(prepare(model, one).total_steps for one in wanted)
    engine, recorder = new_engine(model, row_limit=32)
    for one in wanted:
        engine.post(Submit(one))
    model.denoiser_calls = 0
    finish(engine, recorder, [one.id for one in wanted])
    assert not recorder.failures
    assert model.denoiser_calls <= 0.4 * one_at_a_time


@pytest.mark.parametrize("sizes", [1, 4])
def test_a_prepared_request_takes_its_first_step_within_two_turns(
    model: Depth2ImgModel, sizes: int
) -> None:
    wanted = mixed(16, seed=2, sizes=SIZES[:sizes])
    engine, recorder = new_engine(model, row_limit=64)
    for index, one in enumerate(wanted):
        engine.post(Submit(one))
        if index % 3 == 0:
            engine.turn()
    finish(engine, recorder, [one.id for one in wanted])
    for one in wanted:
        assert recorder.steps(one.id)[0] - recorder.started(one.id) < 2


def test_new_sizes_are_stepped_after_the_sizes_that_run(model: Depth2ImgModel) -> None:
    """Each new size takes one step and is followed by another new size."""
    engine, recorder = new_engine(model, row_limit=64)
    engine.post(Submit(request("long", steps=20, strength=1.0, scheduler="ddim")))
    engine.turn()
    for number in range(2, 12):
        engine.post(
            Submit(request(str(number), width=64 * number, steps=1, strength=1.0, scheduler="ddim"))
        )
        engine.turn()
    assert len(recorder.steps("long")) >= 5
    finish(engine, recorder, ["long", *(str(number) for number in range(2, 12))])


def test_short_requests_of_one_size_do_not_delay_the_others(model: Depth2ImgModel) -> None:
    """One step each, one after the other: the size leaves and returns each time."""
    engine, recorder = new_engine(model, row_limit=64)
    engine.post(Submit(request("long", steps=20, strength=1.0, scheduler="ddim")))
    engine.post(Submit(request("wide", width=128, steps=20, strength=1.0, scheduler="ddim")))
    short = [
        request(f"short {n}", height=128, steps=1, strength=1.0, scheduler="ddim")
        for n in range(20)
    ]
    for one in short:
        engine.post(Submit(one))
        engine.turn()
        engine.turn()
    finish(engine, recorder, ["long", "wide", *(one.id for one in short)])
    for id_ in ("long", "wide"):
        assert max(b - a for a, b in itertools.pairwise(recorder.steps(id_))) <= 3


@pytest.mark.parametrize("sizes", [2, 4])
def test_a_size_waits_at_most_one_turn_for_each_other_size(
    model: Depth2ImgModel, sizes: int
) -> None:
    engine, recorder = new_engine(model, row_limit=64)
    ids = []
    for width, height in SIZES[:sizes]:
        for number in range(2):
            ids.append(f"{width}x{height} {number}")
            engine.post(
                Submit(
                    request(ids[-1], width=width, height=height, steps=6 + number, scheduler="ddim")
                )
            )
    finish(engine, recorder, ids)
    for id_ in ids:
        turns = recorder.steps(id_)
        assert max(b - a for a, b in itertools.pairwise(turns)) <= sizes


def test_at_most_one_request_is_prepared_and_one_decoded_a_turn(model: Depth2ImgModel) -> None:
    engine, recorder = new_engine(model, row_limit=64)
    for number in range(6):
        engine.post(
            Submit(request(f"r{number}", steps=4, strength=1.0, scheduler="ddim", seed=number))
        )
    finish(engine, recorder, [f"r{number}" for number in range(6)])
    for kind in (Started, ImageResult):
        turns = [turn for turn, e in recorder.events if isinstance(e, kind)]
        assert len(turns) == len(set(turns)) == 6


class SlowTransfer:
    """A transfer that is ready only after a number of looks, as from a busy device."""

    def __init__(self, transfer: Any, looks: int) -> None:
        self.transfer, self.looks, self.waited = transfer, looks, False

    @property
    def ready(self) -> bool:
        self.looks -= 1
        return self.looks < 0

    def result(self) -> Any:
        self.waited = self.looks >= 0
        return self.transfer.result()


def slow(model: Depth2ImgModel, part: str, looks: int) -> list[SlowTransfer]:
    """Make every transfer of the method `part` slow; returns them as they are launched."""
    launched: list[SlowTransfer] = []
    inner = getattr(model, part)

    def call(one: Any) -> SlowTransfer:
        launched.append(SlowTransfer(inner(one), looks))
        return launched[-1]

    setattr(model, part, call)
    return launched


def test_other_requests_are_stepped_while_a_picture_is_copied(model: Depth2ImgModel) -> None:
    launched = slow(model, "decode", looks=3)
    engine, recorder = new_engine(model, row_limit=8)
    engine.post(Submit(request("short", steps=2, strength=1.0, scheduler="ddim")))
    engine.post(Submit(request("long", steps=12, strength=1.0, scheduler="ddim")))
    finish(engine, recorder, ["short", "long"])
    turns = {e.id: turn for turn, e in recorder.events if isinstance(e, ImageResult)}
    assert turns["short"] == recorder.steps("short")[-1] + 3
    assert recorder.steps("long") == list(range(1, 13))
    # After the last step, waiting for the copy delays nothing.
    assert turns["long"] == recorder.steps("long")[-1]
    assert [late.waited for late in launched] == [False, True]


def test_a_request_cancelled_during_its_copy_is_not_reported(model: Depth2ImgModel) -> None:
    launched = slow(model, "decode", looks=3)
    engine, recorder = new_engine(model, row_limit=8)
    engine.post(Submit(request("gone", steps=2, strength=1.0, scheduler="ddim")))
    engine.post(Submit(request("long", steps=8, strength=1.0, scheduler="ddim")))
    while not launched:
        engine.turn()
    engine.post(Cancel("gone"))
    finish(engine, recorder, ["long"])
    assert recorder.results.keys() == {"long"}


def test_a_preview_is_reported_with_the_first_step_after_its_copy(
    model: Depth2ImgModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    launched = slow(model, "preview", looks=2)
    engine, recorder = new_engine(model)
    engine.post(Submit(request("one", steps=10, strength=1.0, scheduler="ddim", preview=True)))
    while not launched:
        engine.turn()
    # A second one would replace it.
    monkeypatch.setattr(outputs, "PREVIEW_SECONDS", 1e6)
    finish(engine, recorder, ["one"])
    shown = [e.step for _, e in recorder.events if isinstance(e, Progress) and e.preview]
    assert shown[0] == 3
    assert not any(late.waited for late in launched)


class GpuClock:
    """A GPU whose calls return at once, and which works only while the host waits for it."""

    launched = done = 0

    def mark(self) -> int:
        self.launched += 1
        return self.launched

    def wait(self, mark: int) -> None:
        self.done = max(self.done, mark)

    def seconds(self, begin: int, end: int) -> float:
        self.wait(end)
        return 0.0


@pytest.mark.parametrize("part", ["encode", "_denoise", "decode"])
def test_a_gpu_has_no_more_work_queued_than_that_of_a_turn(
    model: Depth2ImgModel, part: str
) -> None:
    """Otherwise a new request would wait for all tiles, and a cancelled one would be computed."""
    clock = GpuClock()
    engine, recorder = new_engine(model, row_limit=4, clock=clock)
    called_at: list[int] = []
    holder: Any = model if part == "_denoise" else model.pipe.vae
    inner = getattr(holder, part)

    def call(*arguments: Any, **options: Any) -> Any:
        called_at.append(clock.launched)
        return inner(*arguments, **options)

    setattr(holder, part, call)
    engine.post(Submit(request(width=128, height=128, tile=(64, 64), steps=5)))
    while not recorder.results:
        engine.turn()
        assert sum(moment >= clock.done for moment in called_at) <= 1
    # Nine tiles; three steps of five calls.
    assert len(called_at) == (15 if part == "_denoise" else 9)
