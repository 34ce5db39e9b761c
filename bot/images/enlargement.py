"""The size of an enlarged picture that is redrawn with new detail, and the picture at that size."""

from __future__ import annotations

import math

from PIL import Image

from bot.images.picture import Picture
from bot.images.upscale import upscale

UNIT = 8
"""The sides of a picture that is redrawn in tiles are multiples of this number of pixels; see
`ImageRequest.tile`."""


def size_within(width: int, height: int, factor: int, max_side: int) -> tuple[int, int] | None:
    """The size of a picture that is `factor` times as large, with at most `max_side` pixels on the
    longer side; None if no side would grow."""
    scale = min(float(factor), max_side // UNIT * UNIT / max(width, height))
    size = (round(width * scale / UNIT) * UNIT, round(height * scale / UNIT) * UNIT)
    return size if size[0] > width and size[1] > height else None


def enlarge_to(picture: Picture, size: tuple[int, int]) -> Picture:
    """The picture at this size, by `upscale` and Lanczos resampling. Blocks for seconds."""
    factor = math.ceil(max(size[0] / picture.width, size[1] / picture.height))
    large, _ = upscale(picture, factor)
    if (large.width, large.height) == size:
        return large
    image = Image.frombytes("RGB", (large.width, large.height), large.pixels)
    return Picture(image.resize(size, Image.Resampling.LANCZOS).tobytes(), *size)
