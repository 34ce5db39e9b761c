"""Renews the source's latents around a part in the middle of the schedule.

The VAE's work for it is a part of the denoiser's call: see `engine/loop.py` for its device time. If
it is due for several requests of a call, all are renewed in that call.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from inference.engine.transfers import NonBlocking, to_device
from inference.families.conditioning import encode_pixels
from inference.families.denoising.decoding import PictureDecoder
from inference.families.denoising.state import Denoising


class Surroundings:
    """Encodes the source again with the estimated part in it, with the VAE of `pipe`.

    A VAE normalises over the whole picture, so that the latents outside a part depend on the
    colours of the part, and the decoder's colours of the part on the latents outside. Those of the
    source shift the new colours towards the old ones. Therefore they are renewed in the middle of
    the schedule, if the scheduler estimates the finished latents: PNDM does not. A user's own mask
    is blended as in diffusers' inpaint pipelines, with the source's latents in all steps.
    """

    def __init__(self, pipe: Any, decoder: PictureDecoder) -> None:
        self._pipe = pipe
        self._decoder = decoder

    def renew(self, one: Denoising) -> None:
        """Renew the latents outside the request's part, if half of its steps have been taken.

        Does not wait for the device. If the VAE overflows, the latents stay as they are: if the
        decoded estimate has non-finite values or is black all over, as `PictureDecoder` checks it,
        or the new latents are not finite.
        """
        state, mask = one.state, one.mask
        is_due = state.has_estimate and 0 < state.step == state.plan.steps // 2
        if not is_due or mask is None or mask.part is None or state.kept is None:
            return
        vae, kept = self._pipe.vae, state.kept
        with NonBlocking():
            estimate = self._decoder.decode_values(
                state.predicted_original.to(self._pipe.unet.dtype)
            )
            # Before the clamp, which makes infinite values finite.
            is_valid = torch.isfinite(estimate).all() & (estimate.max() > -1)
            picture = torch.lerp(self._source(one), estimate.float().clamp(-1, 1), mask.part)
            mean, _ = encode_pixels(vae, picture)
        clean = vae.config.scaling_factor * mean.float()
        is_valid &= torch.isfinite(clean).all()
        state.kept = replace(kept, clean=torch.where(is_valid, clean, kept.clean))

    def _source(self, one: Denoising) -> torch.Tensor:
        """The source picture in -1..1, (1, 3, H, W)."""
        request = one.request
        pixels = torch.frombuffer(bytearray(request.pixels), dtype=torch.uint8)
        rows = to_device(pixels.view(1, request.height, request.width, 3), self._pipe.device)
        return rows.permute(0, 3, 1, 2).float() / 127.5 - 1
