"""The places of tiles: they cover the picture, overlap, and are as few as possible."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.errors import InferenceError
from inference.tile_grid import UNIT, call_size, tile_count, tile_places, tile_starts
from tests.support.requests import request

SIDES = st.integers(1, 40).map(lambda number: number * UNIT)


@given(tile=SIDES, more=st.integers(0, 300))
def test_tiles_cover_an_axis_and_share_a_quarter(tile: int, more: int) -> None:
    length = tile + more * UNIT
    starts = tile_starts(length, tile)
    assert starts[0] == 0
    assert starts[-1] + tile == length
    assert all(start % UNIT == 0 for start in starts)
    distances = [after - before for before, after in itertools.pairwise(starts)]
    # A tile of one or two units has no quarter that is a multiple of a unit.
    largest = max(UNIT, 3 * tile // (4 * UNIT) * UNIT)
    assert all(UNIT <= distance <= largest for distance in distances)
    if distances:
        # Nearly equal distances, and one tile fewer would leave a gap in the overlap.
        assert max(distances) - min(distances) <= UNIT
        assert (len(distances) - 1) * largest < length - tile


def test_the_tiles_of_a_picture_are_in_rows() -> None:
    assert list(tile_places((128, 96), (64, 64))) == [
        (left, top) for top in (0, 32) for left in (0, 32, 64)
    ]
    assert tile_count((2048, 2048), (512, 512)) == 25
    assert tile_count((384, 384), (192, 192)) == 9
    assert tile_count((64, 64), (64, 64)) == 1
    assert tile_count((64, 64), None) == 1


@pytest.mark.parametrize(("length", "tile"), [(56, 64), (100, 64), (64, 60), (64, 0)])
def test_lengths_that_tiles_cannot_cover_are_refused(length: int, tile: int) -> None:
    with pytest.raises(InferenceError, match="cannot cover"):
        tile_starts(length, tile)


def test_a_row_predicts_a_tile_or_the_picture() -> None:
    assert call_size(request(width=128)) == (128, 64)
    assert call_size(request(width=128, tile=(64, 64))) == (64, 64)
