"""A verified picture: RGB pixels and nothing else."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Picture:
    """RGB, row-major, 3 bytes a pixel: `len(pixels) == width * height * 3`."""

    pixels: bytes
    width: int
    height: int
