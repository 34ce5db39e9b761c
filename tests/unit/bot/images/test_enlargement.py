"""The size of an enlarged picture that is redrawn with new detail."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bot.images.enlargement import UNIT, enlarge_to, size_within
from bot.images.picture import Picture
from tests.support.pictures import photo

SIDES = st.integers(2, 42).map(lambda number: number * 32)


@pytest.mark.parametrize(
    ("width", "height", "factor", "limit", "expected"),
    [
        (192, 192, 2, 2048, (384, 384)),
        (512, 512, 4, 2048, (2048, 2048)),
        (1024, 1024, 4, 2048, (2048, 2048)),
        (1344, 768, 2, 2048, (2048, 1168)),
        (192, 192, 4, 500, (496, 496)),
        (512, 512, 2, 512, None),
        (512, 512, 2, 300, None),
        (512, 512, 2, 0, None),
    ],
)
def test_the_size_is_a_multiple_of_the_picture_s_within_the_limit(
    width: int, height: int, factor: int, limit: int, expected: tuple[int, int] | None
) -> None:
    assert size_within(width, height, factor, limit) == expected


@given(width=SIDES, height=SIDES, factor=st.integers(2, 12), limit=st.integers(0, 4096))
def test_the_size_keeps_the_aspect_ratio_and_the_limit(
    width: int, height: int, factor: int, limit: int
) -> None:
    size = size_within(width, height, factor, limit)
    if size is None:
        return
    assert all(side % UNIT == 0 for side in size)
    assert max(size) <= max(limit, 0)
    assert width < size[0] <= factor * width
    # The shorter side is rounded to a multiple of a unit.
    assert abs(size[0] / width - size[1] / height) * min(width, height) <= UNIT


@pytest.mark.parametrize("size", [(128, 96), (120, 88)])
def test_the_picture_is_enlarged_to_exactly_this_size(size: tuple[int, int]) -> None:
    image = photo(64, 48)
    large = enlarge_to(Picture(image.tobytes(), *image.size), size)
    assert (large.width, large.height) == size
    made = Image.frombytes("RGB", size, large.pixels).resize(image.size, Image.Resampling.BOX)
    assert np.abs(np.asarray(made).astype(int) - np.asarray(image)).mean() < 6
