"""The size of a picture that is drawn from text: square, portrait or landscape."""

from __future__ import annotations

import math
from typing import Literal

from inference import ModelEntry

Shape = Literal["square", "portrait", "landscape"]

# The aspect ratio of a landscape, width to height.
LANDSCAPE = 4 / 3
RATIOS: dict[Shape, float] = {"square": 1.0, "portrait": 1 / LANDSCAPE, "landscape": LANDSCAPE}


def size_of(model: ModelEntry, shape: Shape) -> tuple[int, int]:
    """(width, height) in pixels: the model's size of that shape that is nearest to 4:3, else one of
    the model's area."""
    ratio = RATIOS[shape]
    turned = [size for size in model.sizes if _shape_of(size) == shape]
    if turned:
        return min(turned, key=lambda size: abs(math.log(size[0] / size[1] / ratio)))
    height = math.sqrt(model.pixels / ratio)
    multiple = model.multiple
    return (
        max(multiple, int(height * ratio) // multiple * multiple),
        max(multiple, int(height) // multiple * multiple),
    )


def _shape_of(size: tuple[int, int]) -> Shape:
    width, height = size
    if width == height:
        return "square"
    return "landscape" if width > height else "portrait"
