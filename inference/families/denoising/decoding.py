"""Latents to RGB bytes through the VAE, in tiles or in float32 where the first attempt fails, and
depth maps to grey bytes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from PIL import Image

from inference.engine.transfers import PendingTransfer
from inference.errors import NonFiniteOutput
from inference.families.denoising.tiles import TileDecoding
from inference.pipelines.devices import free_memory, is_out_of_memory


def scaling_factor(pipe: Any) -> float:
    """The factor between the VAE's latents and those of the denoiser; 1 if the VAE has none."""
    return float(pipe.vae.config.get("scaling_factor", 1.0))


class PictureDecoder:
    """Decodes with the VAE of `pipe`.

    Half precision can overflow in the VAE: a picture with non-finite values, or one that is black
    all over, is decoded once more in float32. Where memory runs out, a picture is decoded in tiles.
    """

    def __init__(self, pipe: Any) -> None:
        self.pipe = pipe

    @torch.no_grad()
    def decode(self, latents: torch.Tensor) -> PendingTransfer[bytes]:
        """RGB bytes, row-major, of scaled latents (1, C, h, w).

        Raises:
            NonFiniteOutput: from `PendingTransfer.result`: the latents, or the picture decoded in
                float32, are not finite.
        """
        values = self.decode_values(latents)
        return PendingTransfer(values, lambda copied: self._checked_bytes(latents, copied))

    def begin(self, latents: torch.Tensor, tile: tuple[int, int]) -> TiledPicture:
        """The picture of scaled latents in tiles of this width and height in pixels, of which none
        is decoded."""
        return TiledPicture(self, latents, tile)

    def tiles_of(self, latents: torch.Tensor, tile: tuple[int, int]) -> TileDecoding:
        """The decoding of unscaled latents in tiles."""
        return TileDecoding(self._decode_picture, latents, tile, self.pipe.vae_scale_factor)

    def unscaled(self, latents: torch.Tensor) -> torch.Tensor:
        """The latents as the VAE gives them."""
        return latents / scaling_factor(self.pipe)

    def decode_values(self, latents: torch.Tensor) -> torch.Tensor:
        """RGB in -1..1, (1, 3, H, W), of scaled latents, on the device and unchecked."""
        return self._decode_picture(self.unscaled(latents))

    def to_bytes(self, values: torch.Tensor) -> bytes:
        """RGB bytes, row-major, of values in -1..1, (1, 3, H, W)."""
        pixels = self.pipe.image_processor.postprocess(values, output_type="np")[0]
        return bytes((pixels * 255).round().astype(np.uint8).tobytes())

    @contextmanager
    def in_float32(self) -> Iterator[None]:
        """Decodes in float32 inside this context."""
        vae = self.pipe.vae
        dtype = vae.dtype
        # The module's own `to`: that of diffusers logs a warning at each change of precision.
        try:
            torch.nn.Module.to(vae, torch.float32)
            yield
        finally:
            torch.nn.Module.to(vae, dtype)

    def _decode_picture(self, latents: torch.Tensor) -> torch.Tensor:
        try:
            return self._decode_whole(latents)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        # Outside the handler, whose traceback would keep the failed call's tensors.
        free_memory()
        return self._decode_in_tiles(latents)

    def _decode_whole(self, latents: torch.Tensor) -> torch.Tensor:
        decoded: torch.Tensor = self.pipe.vae.decode(
            latents.to(self.pipe.vae.dtype), return_dict=False
        )[0]
        return decoded

    def _decode_in_tiles(self, latents: torch.Tensor) -> torch.Tensor:
        """Overlapping tiles of half the picture's longer side, blended at their edges."""
        vae = self.pipe.vae
        before = vae.use_tiling, vae.tile_latent_min_size, vae.tile_sample_min_size
        # A multiple of 4, so that the library's overlap of a quarter is a whole number.
        tile = -(-max(latents.shape[2:]) // 8) * 4
        vae.use_tiling = True
        vae.tile_latent_min_size, vae.tile_sample_min_size = tile, tile * self.pipe.vae_scale_factor
        try:
            return self._decode_whole(latents)
        finally:
            vae.use_tiling, vae.tile_latent_min_size, vae.tile_sample_min_size = before

    @torch.no_grad()
    def _checked_bytes(self, latents: torch.Tensor, values: torch.Tensor) -> bytes:
        if not _is_valid(values):
            if not _is_finite(latents):
                raise _not_finite()
            with self.in_float32():
                values = self._decode_picture(self.unscaled(latents).float()).cpu()
            if not _is_finite(values):
                raise _not_finite()
        return self.to_bytes(values)


class TiledPicture:
    """A picture that is decoded in tiles, and once more in float32 if it is not valid.

    `latents`, (1, C, h, w), are scaled; `tile` is the width and height of a tile in pixels. Memory
    holds one tile at a time beside the blended picture.
    """

    def __init__(
        self, decoder: PictureDecoder, latents: torch.Tensor, tile: tuple[int, int]
    ) -> None:
        self._decoder = decoder
        self._latents = latents
        self._tile = tile
        self._tiles = decoder.tiles_of(decoder.unscaled(latents), tile)
        self._in_float32 = False
        self._values: torch.Tensor | None = None

    @torch.no_grad()
    def decode(self, number: int) -> int:
        """Decode up to so many further tiles; return how many are left.

        After the last one the picture is checked, for which the host waits for the device. If it is
        not valid, all tiles are left again.

        Raises:
            NonFiniteOutput: the latents, or the picture decoded in float32, are not finite.
        """
        if self._values is not None:
            return 0
        with self._decoder.in_float32() if self._in_float32 else nullcontext():
            left = self._tiles.decode(number)
        if left:
            return left
        values = self._tiles.picture()
        is_usable = _is_finite if self._in_float32 else _is_valid
        if is_usable(values):
            self._values = values
            return 0
        if self._in_float32 or not _is_finite(self._latents):
            raise _not_finite()
        self._in_float32 = True
        unscaled = self._decoder.unscaled(self._latents).float()
        self._tiles = self._decoder.tiles_of(unscaled, self._tile)
        return self._tiles.left

    def picture(self) -> PendingTransfer[bytes]:
        """RGB bytes, row-major; decodes the tiles that are left.

        Raises:
            NonFiniteOutput: see `decode`.
        """
        while self._values is None:
            self.decode(self._tiles.left)
        return PendingTransfer(self._values, self._decoder.to_bytes)


@torch.no_grad()
def depth_picture(depth: torch.Tensor, size: tuple[int, int]) -> PendingTransfer[bytes]:
    """A depth map (1, 1, h, w) in -1..1 as 8-bit grey of this width and height, row-major."""
    grey = ((depth[0, 0].float() + 1) * 127.5).round().clamp(0, 255).byte()

    def resize(values: torch.Tensor) -> bytes:
        small = Image.fromarray(values.numpy(), "L")
        return small.resize(size, Image.Resampling.BICUBIC).tobytes()

    return PendingTransfer(grey, resize)


def _is_finite(values: torch.Tensor) -> bool:
    return bool(torch.isfinite(values).all())


def _is_valid(values: torch.Tensor) -> bool:
    return _is_finite(values) and float(values.max()) > -1


def _not_finite() -> NonFiniteOutput:
    return NonFiniteOutput("The model's output was not a valid picture: try another seed.")
