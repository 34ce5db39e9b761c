"""A verified picture as RGB pixels."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Picture:
    """RGB, row-major, 3 bytes per pixel: `len(pixels) == width * height * 3`."""

    pixels: bytes
    width: int
    height: int
