"""Cuts pictures and latents into overlapping tiles, and blends the tiles with smooth weights.

The tiles of a request are predicted apart, and their predictions averaged in each step (Bar-Tal et
al. 2023, "MultiDiffusion: Fusing Diffusion Paths for Controlled Image Generation"). The weights
fall from the middle of a tile to its border, so that no border is seen.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from PIL import Image

from inference.errors import InferenceError
from inference.tile_grid import tile_places
from inference.types import ImageRequest

Size = tuple[int, int]
Place = tuple[slice, slice]
"""Rows and columns of a tile in a tensor."""

EVERYTHING: Place = (slice(None), slice(None))


@dataclass(frozen=True, slots=True, eq=False)
class TileLayout:
    """The places of all tiles of a picture, row by row, and the weights of their values.

    `window`, (h, w), are the weights within a tile, `total`, (H, W), the sums over all tiles.
    """

    places: Sequence[Place]
    window: torch.Tensor
    total: torch.Tensor

    @classmethod
    def of(cls, size: Size, tile: Size, scale: int, device: torch.device) -> TileLayout:
        """The layout of tensors with one value for each `scale` × `scale` pixels.

        `size` and `tile` are width and height in pixels.
        """
        (width, height), (columns, rows) = size, (tile[0] // scale, tile[1] // scale)
        places = [
            (
                slice(top // scale, top // scale + rows),
                slice(left // scale, left // scale + columns),
            )
            for left, top in tile_places(size, tile)
        ]
        window = _hann(rows, device)[:, None] * _hann(columns, device)
        total = torch.zeros(height // scale, width // scale, device=device)
        for place in places:
            total[place] += window
        return cls(places, window, total)

    def blend(self, parts: Iterable[torch.Tensor]) -> torch.Tensor:
        """The weighted mean, (1, C, H, W) in float32, of a part (1, C, h, w) for each place."""
        blended: torch.Tensor | None = None
        for place, part in zip(self.places, parts, strict=True):
            if blended is None:
                blended = part.new_zeros((*part.shape[:2], *self.total.shape), dtype=torch.float32)
            blended[(..., *place)] += self.window * part
        assert blended is not None
        return blended / self.total


def _hann(length: int, device: torch.device) -> torch.Tensor:
    """A raised cosine, (length,), which is above zero everywhere."""
    middles = (torch.arange(length, dtype=torch.float32, device=device) + 0.5) / length
    return torch.sin(math.pi * middles) ** 2


def tile_requests(request: ImageRequest) -> list[ImageRequest]:
    """A request for each tile of a picture, with the tile's pixels.

    Raises:
        InferenceError: the request asks for something that tiles cannot do.
    """
    tile = request.tile
    assert tile is not None
    if request.mask is not None or request.part != "everything" or request.structure is not None:
        raise InferenceError("A picture in tiles is redrawn as a whole, without masks and parts.")
    if not request.pixels or request.references:
        raise InferenceError("Only one picture that is redrawn can have tiles.")
    image = Image.frombytes("RGB", (request.width, request.height), request.pixels)
    return [
        replace(
            request,
            pixels=image.crop((left, top, left + tile[0], top + tile[1])).tobytes(),
            width=tile[0],
            height=tile[1],
            tile=None,
        )
        for left, top in tile_places(image.size, tile)
    ]
