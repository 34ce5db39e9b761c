"""Previews of unfinished pictures: a linear projection of the latents to RGB, without the decoder.

One pixel a latent. The projection is fitted to the loaded VAE when the model starts, so that it
needs no table of constants for each VAE.
"""

from __future__ import annotations

from typing import Any

import torch
from PIL import Image

from inference.engine.transfers import PendingTransfer
from inference.families.conditioning import encode_pixels
from inference.families.denoising.decoding import scaling_factor
from inference.models import POCKET
from inference.types import Preview

SAMPLES = tuple((POCKET / "samples").glob("*.png"))
"""The pictures that the projection is fitted to; noise would say little about real pictures."""

SAMPLE_SIZE = (128, 128)

RIDGE = 1e-4
"""Regularisation: keeps the fit stable where random weights make latent channels alike."""


class LatentPreview:
    """Least-squares projection from latents to RGB for the VAE of `pipe`."""

    def __init__(self, pipe: Any) -> None:
        self._weights, self._bias = self._fit(pipe)

    @torch.no_grad()
    def render(self, latents: torch.Tensor) -> PendingTransfer[Preview]:
        """A preview of `latents`, (1, C, h, w), as h × w pixels of RGB."""
        rgb = torch.einsum("chw,cd->hwd", latents[0].float(), self._weights) + self._bias
        pixels = (rgb.nan_to_num().clamp(0, 1) * 255).round().byte()
        height, width = latents.shape[2:]
        return PendingTransfer(
            pixels,
            lambda values: Preview(pixels=values.numpy().tobytes(), width=width, height=height),
        )

    @torch.no_grad()
    def _fit(self, pipe: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """Weights (C, 3) and bias (3,) that map scaled latents to RGB in 0..1."""
        pictures = pipe.image_processor.preprocess(
            [Image.open(path).convert("RGB").resize(SAMPLE_SIZE) for path in sorted(SAMPLES)]
        )
        mean, _ = encode_pixels(pipe.vae, pictures.to(pipe.device))
        latents = (mean * scaling_factor(pipe)).float().cpu().movedim(1, -1).flatten(0, 2)
        small = torch.nn.functional.avg_pool2d(pictures, pipe.vae_scale_factor)
        colours = (small / 2 + 0.5).movedim(1, -1).flatten(0, 2)
        design = torch.cat([latents, torch.ones(len(latents), 1)], dim=1)
        normal = design.T @ design + RIDGE * torch.eye(design.shape[1])
        solution = torch.linalg.solve(normal, design.T @ colours)
        return solution[:-1].to(pipe.device), solution[-1].to(pipe.device)
