"""Cuts pictures and latents into overlapping tiles, and blends the tiles with smooth weights.

The tiles of a request are predicted apart, and their predictions averaged in each step (Bar-Tal et
al. 2023, "MultiDiffusion: Fusing Diffusion Paths for Controlled Image Generation"). The weights
fall from the middle of a tile to its border, so that no border is seen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
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


class TileBlend:
    """The weighted mean of parts that are added one by one, in the order of the layout's places."""

    def __init__(self, layout: TileLayout) -> None:
        self._layout = layout
        self._added = 0
        self._sum: torch.Tensor | None = None

    def add(self, part: torch.Tensor) -> None:
        """Add the part, (1, C, h, w), of the next place. If it raises, nothing was added."""
        layout = self._layout
        if self._sum is None:
            shape = (*part.shape[:2], *layout.total.shape)
            self._sum = part.new_zeros(shape, dtype=torch.float32)
        # Only the product needs memory.
        self._sum[(..., *layout.places[self._added])] += layout.window * part
        self._added += 1

    def mean(self) -> torch.Tensor:
        """The weighted mean, (1, C, H, W) in float32, once every part was added."""
        assert self._sum is not None
        return self._sum / self._layout.total


class TileDecoding:
    """Decodes the latents of a picture, (1, C, h, w), tile by tile, and blends the tiles.

    `decode` gives the values of a tile. `tile` is its width and height in pixels, `scale` the side
    of a latent. Memory holds one tile at a time beside the blended picture.
    """

    def __init__(
        self,
        decode: Callable[[torch.Tensor], torch.Tensor],
        latents: torch.Tensor,
        tile: Size,
        scale: int,
    ) -> None:
        size = (latents.shape[3] * scale, latents.shape[2] * scale)
        self._decode = decode
        self._latents = latents
        self._places_left = list(reversed(TileLayout.of(size, tile, scale, latents.device).places))
        self._blend = TileBlend(TileLayout.of(size, tile, 1, latents.device))

    def decode(self, number: int) -> int:
        """Decode up to so many further tiles; return how many are left."""
        for _ in range(min(number, self.left)):
            self._blend.add(self._decode(self._latents[(..., *self._places_left[-1])]))
            self._places_left.pop()
        return self.left

    @property
    def left(self) -> int:
        """How many tiles are not decoded yet."""
        return len(self._places_left)

    def picture(self) -> torch.Tensor:
        """The whole picture, (1, 3, H, W) in float32, once every tile is decoded."""
        return self._blend.mean()


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
