"""Latents to RGB bytes through the VAE, with a second attempt in float32."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from inference.engine.transfers import PendingTransfer
from inference.errors import NonFiniteOutput


class PictureDecoder:
    """Decodes with the VAE of `pipe`.

    Half precision can overflow in the VAE: a picture with non-finite values, or one that is black
    all over, is decoded once more in float32.
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
        return PendingTransfer(
            self._decode(self._unscaled(latents)), lambda values: self._to_bytes(latents, values)
        )

    def _unscaled(self, latents: torch.Tensor) -> torch.Tensor:
        return latents / float(self.pipe.vae.config.scaling_factor)

    def _decode(self, latents: torch.Tensor) -> torch.Tensor:
        decoded: torch.Tensor = self.pipe.vae.decode(latents, return_dict=False)[0]
        return decoded

    @torch.no_grad()
    def _decode_in_float32(self, latents: torch.Tensor) -> torch.Tensor:
        vae = self.pipe.vae
        dtype = vae.dtype
        try:
            decoded: torch.Tensor = vae.to(torch.float32).decode(
                latents.float(), return_dict=False
            )[0]
        finally:
            vae.to(dtype)
        return decoded

    def _to_bytes(self, latents: torch.Tensor, values: torch.Tensor) -> bytes:
        if not _is_finite(values) or float(values.max()) <= -1:
            error = NonFiniteOutput("The model's output was not a valid picture: try another seed.")
            if not _is_finite(latents):
                raise error
            values = self._decode_in_float32(self._unscaled(latents)).cpu()
            if not _is_finite(values):
                raise error
        pixels = self.pipe.image_processor.postprocess(values, output_type="np")[0]
        return bytes((pixels * 255).round().astype(np.uint8).tobytes())


def _is_finite(values: torch.Tensor) -> bool:
    return bool(torch.isfinite(values).all())
