"""Computes the size to which a source picture is resized for the model."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor, isqrt, log

from bot.intake.errors import TooLong

MAX_ASPECT = 8
"""The largest aspect ratio. At 512x512 pixels and multiples of 64, 8:1 becomes 1344x192;
beyond that the short side would be only two multiples or less."""


Size = tuple[int, int]


def fit(width: int, height: int, pixels: int, multiple: int, sizes: Sequence[Size] = ()) -> Size:
    """The size in pixels to which a picture of `width` by `height` is resized.

    Of the preferred `sizes`, it is the one with the nearest aspect ratio, provided that its shorter
    side is within one `multiple` of the length that keeps the picture's aspect ratio. Otherwise it
    is computed:

    Both sides are multiples of `multiple`, the area is at most `pixels` and close to it, and the
    shorter side is within one `multiple` of the length that keeps the aspect ratio. Small
    pictures are enlarged. Of the possible sizes, the one with the smallest cost is chosen:
    |log of the aspect ratio's error| + log(`pixels` / area) / 2, because distortion is more
    visible than a smaller area. `fit(h, w, …)` equals `fit(w, h, …)` with its sides swapped.

    Raises:
        TooLong: one side is more than `MAX_ASPECT` times the other.
        ValueError: `pixels` is less than `multiple` squared.
    """
    long, short = max(width, height), min(width, height)
    if long > MAX_ASPECT * short:
        raise TooLong(limit=MAX_ASPECT)
    cells = pixels // multiple**2
    if cells < 1:
        raise ValueError(f"{pixels} pixels are less than a square of side {multiple}")
    if sizes:
        nearest = min(sizes, key=lambda size: abs(log(size[0] / size[1] * height / width)))
        across, down = nearest if width >= height else (nearest[1], nearest[0])
        if abs(down - across * short / long) <= multiple:
            return nearest
    aspect = long / short
    costs = {
        (across, down): abs(log(across / down / aspect)) + log(cells / (across * down)) / 2
        # Upper bound: for a larger value no `down` below meets the limit on `across * down`.
        for across in range(1, isqrt(cells * long // short) + long // short + 3)
        for down in range(max(1, ceil(across / aspect - 1)), floor(across / aspect + 1) + 1)
        if down <= across and across * down <= cells
    }
    across, down = min(costs, key=lambda size: (costs[size], size))
    size = (across * multiple, down * multiple)
    return size if width >= height else (size[1], size[0])
