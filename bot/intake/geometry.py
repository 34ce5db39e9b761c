"""Which size a picture is brought to before the model sees it. Pure arithmetic."""

from __future__ import annotations

from math import ceil, floor, isqrt, log

from bot.intake.errors import TooLong

MAX_ASPECT = 8
"""Longer pictures are refused. At 512x512 pixels and multiples of 64, 8:1 becomes 1344x192;
beyond that the short side is only two or three latent blocks of the model high."""


def fit(width: int, height: int, pixels: int, multiple: int) -> tuple[int, int]:
    """The size, in pixels, to which a picture of `width` by `height` is resized.

    Both sides are multiples of `multiple`, the area is at most `pixels` and close to it, and the
    shorter side is within one `multiple` of what the source's aspect ratio asks for. Small
    pictures grow. Among the sizes that qualify, the one is taken whose error of aspect ratio,
    plus half of its loss of area, is smallest, both measured as logarithms: a distortion is seen
    sooner than a lost row of pixels. `fit(h, w, …)` is `fit(w, h, …)` the other way round.

    Raises:
        TooLong: one side is more than `MAX_ASPECT` times the other.
        ValueError: `pixels` has no room for one square of `multiple`.
    """
    long, short = max(width, height), min(width, height)
    if long > MAX_ASPECT * short:
        raise TooLong(limit=MAX_ASPECT)
    cells = pixels // multiple**2
    if cells < 1:
        raise ValueError(f"{pixels} pixels have no room for a square of {multiple}")
    aspect = long / short
    costs = {
        (across, down): abs(log(across / down / aspect)) + log(cells / (across * down)) / 2
        # No wider than this can the shorter side still be within one cell of its exact length.
        for across in range(1, isqrt(cells * long // short) + long // short + 3)
        for down in range(max(1, ceil(across / aspect - 1)), floor(across / aspect + 1) + 1)
        if down <= across and across * down <= cells
    }
    across, down = min(costs, key=lambda size: (costs[size], size))
    size = (across * multiple, down * multiple)
    return size if width >= height else (size[1], size[0])
