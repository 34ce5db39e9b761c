"""Latents to RGB bytes through the VAE, in tiles or in float32 where the first attempt fails, and
depth maps to grey bytes."""

from __future__ import annotations

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
    def decode(
        self,
        latents: torch.Tensor,
        tile: tuple[int, int] | None = None,
        begun: TileDecoding | None = None,
    ) -> PendingTransfer[bytes]:
        """RGB bytes, row-major, of scaled latents (1, C, h, w).

        With `tile`, width and height in pixels, overlapping tiles are decoded one after the other,
        so that the memory is that of a tile, and blended. `begun` may have decoded some of them.

        Raises:
            NonFiniteOutput: from `PendingTransfer.result`: the latents, or the picture decoded in
                float32, are not finite.
        """
        return PendingTransfer(
            self.decode_values(latents, tile) if begun is None else begun.picture(),
            lambda values: self._to_bytes(latents, values, tile),
        )

    def begin(self, latents: torch.Tensor, tile: tuple[int, int]) -> TileDecoding:
        """The decoding of scaled latents in tiles, of which none is decoded."""
        return self._tiles_of(self._unscaled(latents), tile)

    def _tiles_of(self, latents: torch.Tensor, tile: tuple[int, int]) -> TileDecoding:
        return TileDecoding(self._decode_picture, latents, tile, self.pipe.vae_scale_factor)

    def _unscaled(self, latents: torch.Tensor) -> torch.Tensor:
        return latents / scaling_factor(self.pipe)

    def decode_values(
        self, latents: torch.Tensor, tile: tuple[int, int] | None = None
    ) -> torch.Tensor:
        """RGB in -1..1, (1, 3, H, W), of scaled latents, on the device and unchecked."""
        return self._decode(self._unscaled(latents), tile)

    def _decode(self, latents: torch.Tensor, tile: tuple[int, int] | None) -> torch.Tensor:
        if tile is None:
            return self._decode_picture(latents)
        return self._tiles_of(latents, tile).picture()

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
    def _decode_in_float32(
        self, latents: torch.Tensor, tile: tuple[int, int] | None
    ) -> torch.Tensor:
        vae = self.pipe.vae
        dtype = vae.dtype
        try:
            vae.to(torch.float32)
            return self._decode(latents.float(), tile)
        finally:
            vae.to(dtype)

    def _to_bytes(
        self, latents: torch.Tensor, values: torch.Tensor, tile: tuple[int, int] | None
    ) -> bytes:
        if not _is_finite(values) or float(values.max()) <= -1:
            error = NonFiniteOutput("The model's output was not a valid picture: try another seed.")
            if not _is_finite(latents):
                raise error
            values = self._decode_in_float32(self._unscaled(latents), tile).cpu()
            if not _is_finite(values):
                raise error
        pixels = self.pipe.image_processor.postprocess(values, output_type="np")[0]
        return bytes((pixels * 255).round().astype(np.uint8).tobytes())


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
