"""Requests in tiles in the engine: shared calls, limits, faults, cancelling, progress."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from inference.errors import NonFiniteOutput, OutOfMemory
from inference.families.depth2img import Depth2ImgModel
from inference.types import ImageRequest, Progress
from inference.worker.messages import Cancel, Submit
from tests.support.engines import (
    LIBRARY_WARNINGS,
    OUT_OF_MEMORY,
    CountingClock,
    failing,
    finish,
    force_library_steps,
    new_engine,
    picture_of,
    result_picture,
)
from tests.support.requests import request
from tests.support.tiny_models import shared_model

pytestmark = LIBRARY_WARNINGS

TILES = 9


@pytest.fixture
def model() -> Iterator[Depth2ImgModel]:
    with shared_model() as made:
        yield made


def tiled(id_: str, **changes: Any) -> ImageRequest:
    """A request of 128 × 128 pixels in nine tiles; two steps unless told otherwise."""
    options: dict[str, Any] = {"steps": 5, "strength": 0.4, "tile": (64, 64), **changes}
    return request(id_, width=128, height=128, **options)


class Calls:
    """Records of each denoiser call: its rows, and how many tiles each request has in it."""

    def __init__(self, model: Depth2ImgModel) -> None:
        self.rows: list[int] = []
        self.tiles: list[dict[str, int]] = []
        denoise, predict = model._denoise, model.predict

        def count_rows(latents: Any, *inputs: Any) -> Any:
            self.rows.append(len(latents))
            return denoise(latents, *inputs)

        def count_tiles(batch: Any, tiles: Any) -> None:
            self.tiles.append({one.request.id: n for one, n in zip(batch, tiles, strict=True)})
            predict(batch, tiles)

        model._denoise = count_rows  # type: ignore[method-assign]
        model.predict = count_tiles  # type: ignore[method-assign, assignment]


def test_tiles_of_three_users_share_calls(model: Depth2ImgModel) -> None:
    calls = Calls(model)
    engine, recorder = new_engine(model, row_limit=16, admission_limit=4)
    ids = ["anna", "ben", "cleo"]
    for number, id_ in enumerate(ids):
        engine.post(Submit(tiled(id_, seed=number, steps=20, strength=0.3)))
    finish(engine, recorder, ids)
    assert not recorder.failures
    # Two rows for each of nine tiles in six steps: 108 rows a request. Alone, a step of a request
    # needs two calls of 16 and 2 rows: 36 calls for all three.
    assert sum(calls.rows) == 3 * 108
    assert max(calls.rows) == 16
    assert len(calls.rows) == 28
    # The first request takes its first steps while the tiles of the second one are encoded.
    assert sum(len(tiles) > 1 for tiles in calls.tiles) == 16
    assert [recorder.results[id_].steps_run for id_ in ids] == [6 * TILES] * 3


def test_tiles_share_calls_with_requests_of_their_size(model: Depth2ImgModel) -> None:
    calls = Calls(model)
    engine, recorder = new_engine(model, row_limit=8)
    engine.post(Submit(tiled("large")))
    engine.post(Submit(request("small", steps=30, strength=1.0, scheduler="ddim")))
    finish(engine, recorder, ["large", "small"])
    assert max(calls.rows) == 8
    # The request without tiles takes a step in every call, and the tiles fill it.
    together = [tiles for tiles in calls.tiles if len(tiles) == 2]
    assert len(together) >= 5
    assert all(tiles["small"] == 1 for tiles in together)
    turns = recorder.steps("small")
    assert all(after - before == 1 for before, after in itertools.pairwise(turns))


def test_the_tiles_of_one_request_after_the_other_are_encoded(model: Depth2ImgModel) -> None:
    """A picture of which some tiles are encoded takes memory."""
    engine, recorder = new_engine(model, row_limit=8, admission_limit=2)
    encode_tiles = model.encode_tiles
    tiles_left: dict[int, int] = {}

    def record(inputs: Any, number: int) -> int:
        left = encode_tiles(inputs, number)
        assert tiles_left.setdefault(engine.turns, left) == left
        return left

    model.encode_tiles = record  # type: ignore[method-assign]
    for id_ in ("first", "second"):
        engine.post(Submit(tiled(id_)))
    finish(engine, recorder, ["first", "second"])
    # Two tiles a turn until the first request runs, and one beside its call of eight rows.
    assert list(tiles_left.values()) == [7, 5, 3, 1, 0, *range(8, 3, -1), 2, 0]


def test_tiles_take_turns_with_the_finished_requests_of_others(model: Depth2ImgModel) -> None:
    """Many of those do not delay the decoding of a request in tiles."""
    engine, recorder = new_engine(model, row_limit=16)
    decode_tiles = model.decode_tiles
    order: list[str] = []

    def record(one: Any, number: int) -> int:
        order.append(one.request.id)
        return decode_tiles(one, number)

    model.decode_tiles = record  # type: ignore[method-assign]
    engine.post(Submit(tiled("tiles")))
    while not order:
        engine.turn()
    # One is prepared in each turn, and all end in the same turn.
    for steps in (4, 3, 2):
        engine.post(Submit(request(f"{steps} steps", steps=steps, strength=1.0, scheduler="ddim")))
    finish(engine, recorder, ["tiles", "2 steps"])
    others = [index for index, id_ in enumerate(order) if id_ != "tiles"]
    assert len(others) == 3
    assert [after - before for before, after in itertools.pairwise(others)] == [2, 2]


def test_progress_counts_tiles_and_the_preview_shows_the_whole_picture(
    model: Depth2ImgModel,
) -> None:
    engine, recorder = new_engine(model, row_limit=8)
    engine.post(Submit(tiled("one", preview=True)))
    finish(engine, recorder, ["one"])
    progress = [event for _, event in recorder.events if isinstance(event, Progress)]
    # Four tiles with guidance a call; a step ends with the ninth tile.
    assert [event.step for event in progress] == [4, 8, 9, 13, 17, 18]
    assert {event.total for event in progress} == {18}
    previews = [event.preview for event in progress if event.preview is not None]
    assert {(preview.width, preview.height) for preview in previews} == {(16, 16)}


def test_out_of_memory_lowers_the_rows_and_loses_no_tile(model: Depth2ImgModel) -> None:
    wanted = [tiled("large", seed=1), request("small", seed=2, steps=4)]
    expected = {one.id: picture_of(model, one) for one in wanted}
    calls = Calls(model)
    model._denoise = failing(  # type: ignore[method-assign]
        model._denoise, OUT_OF_MEMORY, lambda latents, *_: len(latents) > 4
    )
    engine, recorder = new_engine(model, row_limit=16)
    for one in wanted:
        engine.post(Submit(one))
    finish(engine, recorder, expected)
    assert not recorder.failures
    assert engine.policy.row_limit == 4
    assert sum(calls.rows) == 2 * 2 * TILES + 2 * 2
    for id_, picture in expected.items():
        assert np.abs(result_picture(recorder, id_) - picture).max() <= 1


def test_two_rows_without_guidance_that_do_not_fit_are_called_one_by_one(
    model: Depth2ImgModel,
) -> None:
    model._denoise = failing(  # type: ignore[method-assign]
        model._denoise, OUT_OF_MEMORY, lambda latents, *_: len(latents) > 1
    )
    engine, recorder = new_engine(model, row_limit=8)
    for id_ in ("a", "b"):
        engine.post(Submit(tiled(id_, guidance_scale=1.0)))
    finish(engine, recorder, ["a", "b"])
    assert recorder.results.keys() == {"a", "b"}
    assert engine.policy.row_limit == 1


def test_a_request_of_which_no_tile_fits_fails_alone(model: Depth2ImgModel) -> None:
    predict = model.predict
    model.predict = failing(  # type: ignore[method-assign]
        predict, OUT_OF_MEMORY, lambda batch, _: any(one.request.tile for one in batch)
    )
    engine, recorder = new_engine(model, row_limit=8)
    for one in (request("a", steps=4), tiled("large"), request("b", steps=4)):
        engine.post(Submit(one))
    finish(engine, recorder, ["a", "large", "b"])
    assert recorder.results.keys() == {"a", "b"}
    assert isinstance(recorder.failures["large"], OutOfMemory)


@pytest.mark.parametrize("by_library", [False, True])
def test_a_fault_in_one_tile_fails_its_request_only(
    model: Depth2ImgModel, by_library: bool
) -> None:
    if by_library:
        force_library_steps(model)
    wanted = [tiled("a", seed=1), tiled("bad", seed=2), request("b", seed=3, steps=5)]
    expected = {one.id: picture_of(model, one) for one in wanted}

    def holds_the_sixth_tile(batch: Any, tiles: Any) -> bool:
        return any(
            one.request.id == "bad" and one.step <= TILES + 5 < one.step + count
            for one, count in zip(batch, tiles, strict=True)
        )

    model.predict = failing(  # type: ignore[method-assign]
        model.predict, ValueError("a fault"), holds_the_sixth_tile
    )
    engine, recorder = new_engine(model, row_limit=12)
    for one in wanted:
        engine.post(Submit(one))
    finish(engine, recorder, expected)
    assert recorder.failures.keys() == {"bad"}
    for id_ in ("a", "b"):
        assert np.abs(result_picture(recorder, id_) - expected[id_]).max() <= 1


def test_a_tile_whose_depth_map_is_not_finite_fails_its_request_only(
    model: Depth2ImgModel,
) -> None:
    wanted = [tiled("bad", seed=2), tiled("good", seed=3)]
    expected = picture_of(model, wanted[1])
    depth: Any = model.encoder.depth
    estimate, calls = depth.estimate, itertools.count()

    def one_tile_is_invalid(values: Any) -> Any:
        relief = estimate(values)
        # The seventh tile of the first request.
        return relief * float("nan") if next(calls) == 6 else relief

    depth.estimate = one_tile_is_invalid
    model.encoder.cache.clear()
    engine, recorder = new_engine(model, row_limit=8)
    for one in wanted:
        engine.post(Submit(one))
    finish(engine, recorder, ["bad", "good"])
    assert isinstance(recorder.failures["bad"], NonFiniteOutput)
    assert np.abs(result_picture(recorder, "good") - expected).max() <= 1


def test_a_cancelled_request_takes_no_further_tile(model: Depth2ImgModel) -> None:
    calls = Calls(model)
    engine, recorder = new_engine(model, row_limit=8)
    engine.post(Submit(tiled("cancelled")))
    for _ in range(50):
        engine.turn()
        if recorder.steps("cancelled"):
            break
    engine.post(Cancel("cancelled"))
    engine.post(Submit(request("next", steps=2)))
    begun = len(calls.tiles)
    finish(engine, recorder, ["next"])
    assert all("cancelled" not in tiles for tiles in calls.tiles[begun:])
    assert "cancelled" not in recorder.results
    assert engine.idle


def test_a_request_whose_library_step_fails_begins_again(model: Depth2ImgModel) -> None:
    force_library_steps(model)
    wanted = tiled("one", seed=4)
    expected = picture_of(model, wanted)
    step = model.sampler._step_by_library
    failed: list[int] = []

    def fail_once(state: Any, output: Any) -> None:
        if state.step == 1 and not failed:
            failed.append(1)
            state.must_restart = True
            raise OUT_OF_MEMORY
        step(state, output)

    model.sampler._step_by_library = fail_once  # type: ignore[method-assign]
    engine, recorder = new_engine(model, row_limit=8)
    engine.post(Submit(wanted))
    finish(engine, recorder, ["one"])
    assert failed
    assert np.abs(result_picture(recorder, "one") - expected).max() <= 1


def test_a_request_in_tiles_is_charged_for_its_rows(model: Depth2ImgModel) -> None:
    """Nine tiles beside one request of their size cost about nine times as much."""
    engine, recorder = new_engine(model, row_limit=20, admission_limit=9, clock=CountingClock())
    engine.post(Submit(tiled("large")))
    engine.turn()
    engine.post(Submit(request("small", steps=5, strength=0.4)))
    finish(engine, recorder, ["large", "small"])
    # Each is prepared alone and takes a call alone; of the call that they share the tiles have nine
    # tenths. The tiles are encoded in one turn, and decoded in two.
    assert recorder.results["large"].timings.device == pytest.approx(5 + 0.9)
    assert recorder.results["small"].timings.device == pytest.approx(3 + 0.1)
