"""The tiles of a request are encoded and decoded in several turns of the engine.

Longer than 300 lines: all tests watch the encodings and decodings in the same way.
"""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pytest
import torch

from inference.errors import DeadlineExceeded, NonFiniteOutput, OutOfMemory
from inference.families.denoising.tiles import TileBlend
from inference.families.depth2img import Depth2ImgModel
from inference.types import ImageRequest, ImageResult, Progress
from inference.worker.messages import Cancel, Started, Submit, TilesDone
from tests.support.engines import (
    LIBRARY_WARNINGS,
    OUT_OF_MEMORY,
    Recorder,
    failing,
    finish,
    new_engine,
    picture_of,
    prepare,
    result_picture,
)
from tests.support.requests import request
from tests.support.tiny_models import shared_model

pytestmark = LIBRARY_WARNINGS

TILES = 9
Phase = Literal["encode", "decode"]
PHASES: tuple[Phase, ...] = ("encode", "decode")


@pytest.fixture
def model() -> Iterator[Depth2ImgModel]:
    with shared_model(cache_bytes=0) as made:
        yield made


def tiled(id_: str = "large", **changes: Any) -> ImageRequest:
    """A request of 128 × 128 pixels in nine tiles and two steps."""
    options: dict[str, Any] = {"steps": 5, "strength": 0.4, **changes}
    return request(id_, width=128, height=128, tile=(64, 64), **options)


def small(id_: str = "small", **changes: Any) -> ImageRequest:
    return request(id_, strength=1.0, **{"steps": 60, **changes})


def watch(model: Depth2ImgModel, phase: Phase, called: Callable[[int], None]) -> None:
    """Call `called` with the number of pictures before the VAE encodes or decodes them."""
    vae: Any = model.pipe.vae
    inner = getattr(vae, phase)

    def call(values: torch.Tensor, **options: Any) -> Any:
        called(len(values))
        return inner(values, **options)

    setattr(vae, phase, call)


def fail_if(condition: bool) -> None:
    if condition:
        raise OUT_OF_MEMORY


def turns_of(recorder: Recorder, id_: str) -> list[int]:
    """The turns in which an event of the request was reported."""
    kinds = Started | TilesDone | Progress | ImageResult
    return [turn for turn, event in recorder.events if isinstance(event, kinds) and event.id == id_]


@pytest.mark.parametrize("phase", PHASES)
def test_other_requests_take_steps_between_the_tiles(model: Depth2ImgModel, phase: Phase) -> None:
    engine, recorder = new_engine(model, row_limit=4)
    engine.post(Submit(small()))
    engine.turn()
    turns: Counter[int] = Counter()
    watch(model, phase, lambda _: turns.update([engine.turns]))
    engine.post(Submit(tiled()))
    finish(engine, recorder, ["large"])
    assert sum(turns.values()) == TILES
    # Beside a call of four rows a turn encodes or decodes one tile.
    assert set(turns.values()) == {1}
    assert set(turns) <= set(recorder.steps("small"))


def test_a_turn_decodes_one_tile_for_each_eight_rows_of_its_own_call(
    model: Depth2ImgModel,
) -> None:
    """Not of the next turn's call, which has another size and fewer or more rows."""
    engine, recorder = new_engine(model, row_limit=16, admission_limit=4)
    rows: dict[int, int] = {}
    tiles: Counter[int] = Counter()
    denoise = model._denoise

    def count_rows(latents: torch.Tensor, *inputs: torch.Tensor) -> torch.Tensor:
        rows[engine.turns] = len(latents)
        return denoise(latents, *inputs)

    model._denoise = count_rows  # type: ignore[method-assign]
    engine.post(Submit(tiled()))
    while engine.policy.preparing or not engine.policy.running:
        engine.turn()
    watch(model, "decode", lambda _: tiles.update([engine.turns]))
    for number in range(8):
        engine.post(Submit(small(f"square {number}")))
    engine.post(Submit(small("wide", width=128)))
    finish(engine, recorder, ["large"])
    expected = {turn: rows[turn] // 8 or 1 for turn in tiles}
    assert set(expected.values()) == {1, 2}
    *turns, last = tiles
    assert {turn: tiles[turn] for turn in turns} == {turn: expected[turn] for turn in turns}
    assert tiles[last] <= expected[last]


def test_a_turn_whose_call_ran_out_of_memory_decodes_one_tile(model: Depth2ImgModel) -> None:
    engine, recorder = new_engine(model, row_limit=18, admission_limit=4)
    tiles: Counter[int] = Counter()
    failed: list[int] = []
    watch(model, "decode", lambda _: tiles.update([engine.turns]))

    def fails_once(*_: Any) -> bool:
        if not tiles or failed:
            return False
        failed.append(engine.turns)
        return True

    model.predict = failing(  # type: ignore[method-assign]
        model.predict, OUT_OF_MEMORY, fails_once
    )
    for number in range(8):
        engine.post(Submit(small(f"small {number}")))
    while len(engine.policy.running) < 8:
        engine.turn()
    engine.post(Submit(tiled()))
    finish(engine, recorder, ["large"])
    assert tiles[failed[0] - 1] == 2
    assert tiles[failed[0]] == 1


@pytest.mark.parametrize("phase", PHASES)
def test_a_turn_without_other_requests_is_bounded_too(model: Depth2ImgModel, phase: Phase) -> None:
    engine, recorder = new_engine(model, row_limit=64, admission_limit=4)
    turns: Counter[int] = Counter()
    watch(model, phase, lambda _: turns.update([engine.turns]))
    engine.post(Submit(tiled()))
    finish(engine, recorder, ["large"])
    # The first turn that decodes also takes the last step, whose call has 18 rows.
    assert list(turns.values()) == ([4, 4, 1] if phase == "encode" else [2, 4, 3])


@pytest.mark.parametrize("phase", PHASES)
def test_a_request_is_cancelled_between_its_tiles(model: Depth2ImgModel, phase: Phase) -> None:
    engine, recorder = new_engine(model, row_limit=4)
    tiles: list[int] = []
    watch(model, phase, tiles.append)
    engine.post(Submit(tiled()))
    while len(tiles) < 3:
        engine.turn()
    engine.post(Cancel("large"))
    engine.post(Submit(small("next", steps=2)))
    finish(engine, recorder, ["next"])
    assert len(tiles) == 3 + 1
    assert recorder.results.keys() == {"next"}
    assert engine.idle
    assert not engine.policy.preparing


def test_the_deadline_of_a_request_in_tiles_ends_when_its_first_tile_is_encoded(
    model: Depth2ImgModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits for the tiles of another request before that, and has not started."""
    now = 1000.0
    monkeypatch.setattr(time, "time", lambda: now)
    engine, recorder = new_engine(model, row_limit=8)
    engine.post(Submit(tiled("first", deadline=now + 1)))
    engine.post(Submit(tiled("late", deadline=now + 1)))
    for _ in range(3):
        engine.turn()
    now += 2
    finish(engine, recorder, ["first", "late"])
    assert isinstance(recorder.failures["late"], DeadlineExceeded)
    assert turns_of(recorder, "late") == []
    assert recorder.results.keys() == {"first"}


def test_every_turn_of_a_request_in_tiles_reports_a_sign_of_life(model: Depth2ImgModel) -> None:
    """The watchdog's limit is that of one turn."""
    engine, recorder = new_engine(model, row_limit=4)
    engine.post(Submit(tiled()))
    finish(engine, recorder, ["large"])
    turns = turns_of(recorder, "large")
    assert sorted(set(turns)) == list(range(turns[0], turns[-1] + 1))
    # Nine turns for the encoding, nine for two steps of nine tiles, two a call, nine for decoding.
    assert turns[-1] - turns[0] + 1 == pytest.approx(9 + 10 + 9, abs=2)


def test_the_picture_does_not_depend_on_the_tiles_of_a_turn(model: Depth2ImgModel) -> None:
    wanted = tiled()
    one = prepare(model, wanted)
    while not one.finished:
        model.predict([one], [1])
    expected = model.decode(one).result()
    for admission_limit in (1, 2, 9):
        engine, recorder = new_engine(model, admission_limit=admission_limit)
        engine.post(Submit(wanted))
        finish(engine, recorder, ["large"])
        assert recorder.results["large"].pixels == expected


def test_the_finished_requests_of_others_are_decoded_between_the_tiles(
    model: Depth2ImgModel,
) -> None:
    engine, recorder = new_engine(model, row_limit=4)
    decoded: list[int] = []
    watch(model, "decode", decoded.append)
    engine.post(Submit(tiled()))
    while len(decoded) < 2:
        engine.turn()
    engine.post(Submit(small(steps=2)))
    finish(engine, recorder, ["large", "small"])
    ended = [event.id for _, event in recorder.events if isinstance(event, ImageResult)]
    assert ended == ["small", "large"]


def test_requests_in_tiles_are_decoded_one_after_the_other(model: Depth2ImgModel) -> None:
    """A picture of which some tiles are decoded takes memory."""
    engine, recorder = new_engine(model, row_limit=8)
    decode_tiles = model.decode_tiles
    begun: dict[str, int] = {}

    def record(one: Any, number: int) -> int:
        begun[one.request.id] = left = decode_tiles(one, number)
        assert sum(each > 0 for each in begun.values()) <= 1
        return left

    model.decode_tiles = record  # type: ignore[method-assign]
    # The second one is finished before all tiles of the first one are decoded.
    engine.post(Submit(tiled("first", steps=10)))
    engine.post(Submit(tiled("second")))
    finish(engine, recorder, ["first", "second"])
    assert not recorder.failures
    assert begun == {"first": 0, "second": 0}


INVALID = {"nan in a tile": (float("nan"), 4), "black": (-2.0, None)}
"""A value, and the only tile that has it in half precision."""


def invalidate(model: Depth2ImgModel, value: float, only: int | None) -> list[torch.dtype]:
    """Let pictures of the size of a tile be invalid in half precision; all precisions so far."""
    vae: Any = model.pipe.vae
    vae.to(torch.bfloat16)
    decode = vae.decode
    precisions: list[torch.dtype] = []

    def invalid(latents: torch.Tensor, **options: Any) -> Any:
        (decoded,) = decode(latents, **options)
        if vae.dtype != torch.float32 and only in (None, len(precisions)):
            decoded = torch.full_like(decoded, value)
        precisions.append(vae.dtype)
        return (decoded,)

    vae.decode = invalid
    return precisions


@pytest.mark.parametrize(("value", "only"), INVALID.values(), ids=INVALID)
@torch.no_grad()
def test_a_picture_that_is_decoded_again_in_float32_leaves_turns_to_others(
    model: Depth2ImgModel, value: float, only: int | None
) -> None:
    precisions = invalidate(model, value, only)
    engine, recorder = new_engine(model, row_limit=4)
    turns: Counter[int] = Counter()
    watch(model, "decode", lambda _: turns.update([engine.turns]))
    finished: list[torch.Tensor] = []
    decode = model.decode

    def keep(one: Any) -> Any:
        finished.append(one.state.sample)
        return decode(one)

    model.decode = keep  # type: ignore[method-assign]
    engine.post(Submit(small()))
    engine.turn()
    engine.post(Submit(tiled()))
    finish(engine, recorder, ["large"])
    assert set(turns.values()) == {1}
    assert set(turns) <= set(recorder.steps("small"))
    assert precisions == [torch.bfloat16] * TILES + [torch.float32] * TILES
    assert model.pipe.vae.dtype == torch.bfloat16
    # The same picture as if all tiles were decoded in float32 at once.
    model.pipe.vae.to(torch.float32)
    expected = model.decoder.begin(finished[0], (64, 64)).picture().result()
    assert recorder.results["large"].pixels == expected


def test_a_picture_that_is_decoded_again_in_float32_can_be_cancelled(
    model: Depth2ImgModel,
) -> None:
    precisions = invalidate(model, float("nan"), None)
    engine, recorder = new_engine(model, row_limit=4)
    engine.post(Submit(tiled()))
    while precisions.count(torch.float32) < 3:
        engine.turn()
    engine.post(Cancel("large"))
    engine.post(Submit(small("next", steps=2)))
    finish(engine, recorder, ["next"])
    assert precisions.count(torch.float32) == 3 + 1
    assert engine.idle


def test_tiles_that_are_not_finite_in_float32_either_fail_their_request(
    model: Depth2ImgModel,
) -> None:
    model.pipe.vae.decoder.conv_out.weight.data.fill_(float("nan"))
    engine, recorder = new_engine(model, row_limit=4)
    decoded: list[int] = []
    watch(model, "decode", decoded.append)
    engine.post(Submit(tiled()))
    finish(engine, recorder, ["large"])
    assert isinstance(recorder.failures["large"], NonFiniteOutput)
    assert len(decoded) == 2 * TILES


@pytest.mark.parametrize("phase", PHASES)
def test_a_fault_in_one_tile_fails_its_request_only(model: Depth2ImgModel, phase: Phase) -> None:
    good = small(steps=30)
    expected = picture_of(model, good)
    engine, recorder = new_engine(model, row_limit=4)
    engine.post(Submit(good))
    engine.turn()
    tiles: list[int] = []

    def fail_at_the_third(_: int) -> None:
        tiles.append(1)
        if len(tiles) == 3:
            raise ValueError("a fault")

    watch(model, phase, fail_at_the_third)
    engine.post(Submit(tiled("bad")))
    finish(engine, recorder, ["bad", good.id])
    assert recorder.failures.keys() == {"bad"}
    assert np.abs(result_picture(recorder, good.id) - expected).max() <= 1
    assert engine.idle


def test_a_request_whose_tile_does_not_fit_the_memory_is_encoded_alone(
    model: Depth2ImgModel,
) -> None:
    wanted = tiled()
    expected = picture_of(model, wanted)
    engine, recorder = new_engine(model, row_limit=4)
    engine.post(Submit(small(steps=5)))
    engine.turn()

    def fail_beside_others(_: int) -> None:
        if engine.policy.running and not recorder.results:
            raise OUT_OF_MEMORY

    watch(model, "encode", fail_beside_others)
    engine.post(Submit(wanted))
    finish(engine, recorder, ["small", "large"])
    assert not recorder.failures
    assert np.abs(result_picture(recorder, "large") - expected).max() <= 1


@pytest.mark.parametrize("attempt", [1, 3])
def test_a_tile_that_could_not_be_blended_is_encoded_again(
    model: Depth2ImgModel, attempt: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tiles before it keep their places."""
    wanted = tiled()
    expected = picture_of(model, wanted)
    attempts = itertools.count(1)

    class Window:
        """The weights of a tile, of which one product with its values does not fit the memory."""

        def __init__(self, weights: torch.Tensor) -> None:
            self.weights = weights

        def __mul__(self, values: torch.Tensor) -> torch.Tensor:
            if next(attempts) == attempt:
                raise OUT_OF_MEMORY
            return self.weights * values

    add = TileBlend.add

    def with_window(self: TileBlend, part: torch.Tensor) -> None:
        layout: Any = self._layout
        self._layout = replace(layout, window=Window(layout.window))
        try:
            add(self, part)
        finally:
            self._layout = layout

    monkeypatch.setattr(TileBlend, "add", with_window)
    engine, recorder = new_engine(model, row_limit=4)
    engine.post(Submit(small(steps=12)))
    engine.turn()
    engine.post(Submit(wanted))
    finish(engine, recorder, ["small", "large"])
    assert not recorder.failures
    assert np.abs(result_picture(recorder, "large") - expected).max() <= 1


@pytest.mark.parametrize("part", ["encode", "predict"])
def test_a_request_that_does_not_fit_beside_the_tiles_of_another_waits_for_them(
    model: Depth2ImgModel, part: str
) -> None:
    """A request in tiles has memory while they are encoded, and while they are decoded."""
    expected = picture_of(model, small(steps=2))
    engine, recorder = new_engine(model, row_limit=4)
    tiles: list[int] = []
    watch(model, "encode" if part == "predict" else "decode", tiles.append)
    engine.post(Submit(tiled()))
    while len(tiles) < 2:
        engine.turn()

    def others() -> bool:
        return "large" not in recorder.results

    if part == "predict":
        model.predict = failing(  # type: ignore[method-assign]
            model.predict, OUT_OF_MEMORY, lambda batch, _: batch[0].layout is None and others()
        )
    else:
        watch(model, "encode", lambda _: fail_if(others()))
    engine.post(Submit(small(steps=2)))
    finish(engine, recorder, ["small", "large"])
    assert not recorder.failures
    assert np.abs(result_picture(recorder, "small") - expected).max() <= 1


def test_a_tile_that_does_not_fit_the_memory_at_all_fails_its_request(
    model: Depth2ImgModel,
) -> None:
    def fail(_: int) -> None:
        raise OUT_OF_MEMORY

    watch(model, "encode", fail)
    engine, recorder = new_engine(model, row_limit=4)
    engine.post(Submit(tiled()))
    finish(engine, recorder, ["large"])
    assert isinstance(recorder.failures["large"], OutOfMemory)
    assert engine.idle


def test_the_tiles_of_a_request_that_begins_again_are_encoded_once(model: Depth2ImgModel) -> None:
    encoded: list[int] = []
    watch(model, "encode", encoded.append)
    predict = model.predict
    failed: list[int] = []

    def lose_the_state_once(batch: Any, tiles: Any) -> None:
        if not failed:
            failed.append(1)
            batch[0].state.must_restart = True
            raise OUT_OF_MEMORY
        predict(batch, tiles)

    model.predict = lose_the_state_once  # type: ignore[method-assign, assignment]
    engine, recorder = new_engine(model, row_limit=4)
    engine.post(Submit(tiled()))
    finish(engine, recorder, ["large"])
    assert not recorder.failures
    assert sum(encoded) == TILES


def test_a_picture_of_thousands_of_tiles_is_checked_without_recursion(
    model: Depth2ImgModel,
) -> None:
    """Each tile has a depth map of its own that is checked when the picture is finished."""
    one = prepare(model, tiled())
    expected = model.decode(one).result()
    one.tiles = [*one.tiles] * 300
    assert model.decode(one).result() == expected
