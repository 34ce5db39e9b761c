"""Whose turn it is in the step loop: work shared, nobody kept waiting."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from inference.families.depth2img import Depth2ImgModel
from inference.pipelines import random_tiny
from inference.types import Img2ImgResult, Progress
from inference.worker.messages import Started
from tests.support.engines import LIBRARY_WARNINGS, finish, mixed, new_engine
from tests.support.requests import request

pytestmark = LIBRARY_WARNINGS

SIZES = ((64, 64), (128, 64), (64, 128), (192, 64))


@pytest.fixture
def model() -> Depth2ImgModel:
    return Depth2ImgModel(random_tiny.build())


def test_thirty_two_mixed_requests_take_two_fifths_of_the_unet_calls(model: Depth2ImgModel) -> None:
    wanted = mixed(32, seed=1, sizes=((64, 64), (128, 64)))
    one_at_a_time = sum(len(model.prepare(one).timesteps) for one in wanted)
    engine, recorder = new_engine(model, row_limit=32)
    for one in wanted:
        engine.submit(one)
    model.unet_calls = 0
    finish(engine, recorder, [one.id for one in wanted])
    assert not recorder.failures
    assert model.unet_calls <= 0.4 * one_at_a_time


@pytest.mark.parametrize("sizes", [1, 2, 3, 4])
def test_a_prepared_request_takes_its_first_step_within_two_turns(
    model: Depth2ImgModel, sizes: int
) -> None:
    wanted = mixed(24, seed=2, sizes=SIZES[:sizes])
    engine, recorder = new_engine(model, row_limit=64)
    for index, one in enumerate(wanted):
        engine.submit(one)
        if index % 3 == 0:
            engine.turn()
    finish(engine, recorder, [one.id for one in wanted])
    for one in wanted:
        assert recorder.steps(one.id)[0] - recorder.started(one.id) < 2


def test_ever_new_sizes_take_their_turns_after_those_that_are_there(model: Depth2ImgModel) -> None:
    """Each takes one step and is followed by another size that nobody runs."""
    engine, recorder = new_engine(model, row_limit=64)
    engine.submit(request("long", steps=20, strength=1.0, scheduler="ddim"))
    engine.turn()
    for number in range(2, 12):
        engine.submit(
            request(str(number), width=64 * number, steps=1, strength=1.0, scheduler="ddim")
        )
        engine.turn()
    assert len(recorder.steps("long")) >= 5
    finish(engine, recorder, ["long", *(str(number) for number in range(2, 12))])


def test_whoever_is_passed_over_keeps_room(model: Depth2ImgModel) -> None:
    """The first in line is of a size that is not due. Those behind it begin before it, but only
    while there is room for it too."""
    engine, recorder = new_engine(model, row_limit=12)
    for width, height in SIZES:
        engine.submit(request(f"{width}x{height}", width=width, height=height, steps=16))
    while not recorder.steps("192x64"):
        engine.turn()
    first, second, _, last = engine._sizes
    begun = engine.turns
    for id_, (width, height) in {"passed over": last, "first": first, "second": second}.items():
        engine.submit(request(id_, width=width, height=height, steps=16))
    for _ in SIZES:
        engine.turn()
    assert recorder.started("first") == begun
    assert recorder.started("passed over") == begun + 2
    assert not any(e.id == "second" for _, e in recorder.events)
    finish(engine, recorder, ["second"])


def test_short_requests_of_one_size_do_not_hold_up_the_others(model: Depth2ImgModel) -> None:
    """One step each, one after the other: each time the size is gone, and comes again."""
    engine, recorder = new_engine(model, row_limit=64)
    engine.submit(request("long", steps=20, strength=1.0, scheduler="ddim"))
    engine.submit(request("wide", width=128, steps=20, strength=1.0, scheduler="ddim"))
    short = [
        request(f"short {n}", height=128, steps=1, strength=1.0, scheduler="ddim")
        for n in range(20)
    ]
    for one in short:
        engine.submit(one)
        engine.turn()
        engine.turn()
    finish(engine, recorder, ["long", "wide", *(one.id for one in short)])
    for id_ in ("long", "wide"):
        assert max(b - a for a, b in itertools.pairwise(recorder.steps(id_))) <= 3


@pytest.mark.parametrize("sizes", [2, 3, 4])
def test_no_size_waits_more_than_one_turn_for_each_other(model: Depth2ImgModel, sizes: int) -> None:
    engine, recorder = new_engine(model, row_limit=64)
    ids = []
    for width, height in SIZES[:sizes]:
        for number in range(2):
            ids.append(f"{width}x{height} {number}")
            engine.submit(
                request(ids[-1], width=width, height=height, steps=10 + number, scheduler="ddim")
            )
    finish(engine, recorder, ids)
    for id_ in ids:
        turns = recorder.steps(id_)
        assert max(b - a for a, b in itertools.pairwise(turns)) <= sizes


def test_one_is_prepared_and_one_is_decoded_a_turn_at_most(model: Depth2ImgModel) -> None:
    engine, recorder = new_engine(model, row_limit=64)
    for number in range(6):
        engine.submit(request(f"r{number}", steps=4, strength=1.0, scheduler="ddim", seed=number))
    finish(engine, recorder, [f"r{number}" for number in range(6)])
    for kind in (Started, Img2ImgResult):
        turns = [turn for turn, e in recorder.events if isinstance(e, kind)]
        assert len(turns) == len(set(turns)) == 6


class Late:
    """What arrives only when it has been looked for a few times, as from a busy device."""

    def __init__(self, arriving: Any, looks: int) -> None:
        self.arriving, self.looks, self.waited = arriving, looks, False

    @property
    def here(self) -> bool:
        self.looks -= 1
        return self.looks < 0

    def get(self) -> Any:
        self.waited = self.looks >= 0
        return self.arriving.get()


def slow(model: Depth2ImgModel, part: str, looks: int) -> list[Late]:
    """Let what `part` of the model returns arrive late; all of it, as it is launched."""
    launched: list[Late] = []
    inner = getattr(model, part)

    def call(one: Any) -> Late:
        launched.append(Late(inner(one), looks))
        return launched[-1]

    setattr(model, part, call)
    return launched


def test_the_others_go_on_while_a_picture_is_on_its_way(model: Depth2ImgModel) -> None:
    launched = slow(model, "decode", looks=3)
    engine, recorder = new_engine(model, row_limit=8)
    engine.submit(request("short", steps=2, strength=1.0, scheduler="ddim"))
    engine.submit(request("long", steps=12, strength=1.0, scheduler="ddim"))
    finish(engine, recorder, ["short", "long"])
    turns = {e.id: turn for turn, e in recorder.events if isinstance(e, Img2ImgResult)}
    assert turns["short"] == recorder.steps("short")[-1] + 3
    assert recorder.steps("long") == list(range(1, 13))
    # Behind the last one there is nothing that waiting would hold up.
    assert turns["long"] == recorder.steps("long")[-1]
    assert [late.waited for late in launched] == [False, True]


def test_a_picture_cancelled_on_its_way_is_not_handed_over(model: Depth2ImgModel) -> None:
    launched = slow(model, "decode", looks=3)
    engine, recorder = new_engine(model, row_limit=8)
    engine.submit(request("gone", steps=2, strength=1.0, scheduler="ddim"))
    engine.submit(request("long", steps=8, strength=1.0, scheduler="ddim"))
    while not launched:
        engine.turn()
    engine.cancel("gone")
    finish(engine, recorder, ["long"])
    assert recorder.results.keys() == {"long"}


def test_a_preview_is_shown_with_the_first_step_after_its_arrival(model: Depth2ImgModel) -> None:
    launched = slow(model, "preview", looks=2)
    engine, recorder = new_engine(model)
    engine.submit(request("one", steps=10, strength=1.0, scheduler="ddim", preview=True))
    finish(engine, recorder, ["one"])
    shown = [e.step for _, e in recorder.events if isinstance(e, Progress) and e.preview]
    assert shown[0] == 3
    assert not any(late.waited for late in launched)
