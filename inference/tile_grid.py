"""Overlapping tiles that cover a picture: their number and their places. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator

from inference.errors import InferenceError
from inference.types import ImageRequest

UNIT = 8
"""Tiles begin at multiples of so many pixels: the side of a latent, which is 8 pixels or a divisor
of 8 in the VAEs of all families that redraw in tiles."""


def tile_starts(length: int, tile: int) -> tuple[int, ...]:
    """Where the tiles of an axis begin, in pixels.

    As few tiles as possible, in nearly equal distances, so that the first one begins at 0, the last
    one ends at `length`, and neighbours share at least a quarter of a tile.

    Raises:
        InferenceError: the axis is shorter than a tile, or a length is not a multiple of `UNIT`.
    """
    if length < tile or tile < UNIT or length % UNIT or tile % UNIT:
        raise InferenceError(f"Tiles of {tile} pixels cannot cover {length} pixels.")
    rest, distance = (length - tile) // UNIT, max(1, 3 * tile // (4 * UNIT))
    gaps = -(-rest // distance)
    return tuple(index * rest // gaps * UNIT if gaps else 0 for index in range(gaps + 1))


def tile_places(size: tuple[int, int], tile: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """Left and top of each tile of a picture, row by row; `size` and `tile` are (width, height)."""
    for top in tile_starts(size[1], tile[1]):
        for left in tile_starts(size[0], tile[0]):
            yield left, top


def tile_count(size: tuple[int, int], tile: tuple[int, int] | None) -> int:
    """The number of tiles of a picture; 1 without tiles."""
    if tile is None:
        return 1
    return len(tile_starts(size[0], tile[0])) * len(tile_starts(size[1], tile[1]))


def call_size(request: ImageRequest) -> tuple[int, int]:
    """Width and height of what a row of a denoiser call predicts: a tile, or the picture."""
    return request.tile or (request.width, request.height)
