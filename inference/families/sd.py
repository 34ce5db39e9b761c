"""The family of Stable Diffusion 1 and 2: image-to-image and text-to-image, optionally with a
ControlNet that is steered by the depth of the picture."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import torch

from inference.families.conditioning import (
    CACHE_BYTES,
    ConditioningEncoder,
    EncodedPicture,
    PromptEncoder,
)
from inference.families.latent_diffusion import LatentDiffusionModel
from inference.families.prompts import ClipPrompts
from inference.pipelines.depth import DepthEstimator
from inference.tile_grid import call_size
from inference.types import ImageRequest


class StableDiffusionModel(LatentDiffusionModel):
    """A UNet that is guided by text and, where the pipeline has a ControlNet, by a depth map.

    `depth` estimates the map of `structure`, else of the source picture. A request without either
    is made by the UNet alone. `cache_bytes` bounds the memory of cached prompts and pictures.
    """

    def __init__(
        self,
        pipe: Any,
        depth: DepthEstimator | None = None,
        *,
        prompts: PromptEncoder | None = None,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        encoder = ConditioningEncoder(
            pipe, prompts or ClipPrompts(pipe), depth, cache_bytes=cache_bytes
        )
        super().__init__(pipe, encoder)

    @staticmethod
    def supports(pipe: Any) -> bool:
        """Whether the UNet has no inputs that this family does not know: masked pictures, or the
        guidance scale of distilled models."""
        unet = pipe.unet.config
        return bool(
            unet.in_channels == pipe.vae.config.latent_channels
            and unet.get("time_cond_proj_dim") is None
        )

    def batch_key(self, request: ImageRequest) -> Hashable:
        """Requests share a denoiser call if they have one size and all or none are steered."""
        steered = self.encoder.depth is not None and bool(request.structure or request.pixels)
        return *call_size(request), steered

    def use_cuda_graphs(self) -> bool:
        """No graphs with a ControlNet: each would keep pictures of full size as its inputs."""
        return self.encoder.depth is None and super().use_cuda_graphs()

    def _conditions(
        self, request: ImageRequest, encoded: EncodedPicture
    ) -> tuple[torch.Tensor, ...]:
        """The ControlNet's picture, (1, 3, H, W) in 0..1, and the weight of its output, (1,).

        ControlNet-Union mixes the rows of a call. Also with an attention weight of zero, a NaN in
        one row would give NaN in all rows. So zeros replace NaN and infinities here; `decode` fails
        a request with such a depth map.
        """
        if encoded.depth is None:
            return ()
        scale = 1.0 if request.control_scale is None else request.control_scale
        picture = ((encoded.depth + 1) / 2).nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)
        picture = picture.expand(-1, 3, -1, -1)
        return picture, torch.full((1,), scale, dtype=self.dtype, device=self.device)

    def _call_denoiser(
        self, latents: torch.Tensor, times: torch.Tensor, *inputs: torch.Tensor
    ) -> torch.Tensor:
        text, *control = inputs
        options: dict[str, Any] = {"encoder_hidden_states": text, "return_dict": False}
        if control:
            picture, scale = control
            outputs = self.pipe.controlnet(latents, times, controlnet_cond=picture, **options)
            options |= weighted_residuals(outputs, scale)
        return self._call_unet(latents, times, options)

    def _call_unet(
        self, latents: torch.Tensor, times: torch.Tensor, options: dict[str, Any]
    ) -> torch.Tensor:
        if self.device.type == "cuda":
            latents = latents.contiguous(memory_format=torch.channels_last)
        predictions: torch.Tensor = self.pipe.unet(latents, times, **options)[0]
        return predictions


def weighted_residuals(outputs: Any, scale: torch.Tensor) -> dict[str, Any]:
    """A ControlNet's outputs as options of the UNet's call, with a weight for each row, (rows,)."""
    down, middle = outputs
    weights = scale[:, None, None, None]
    return {
        "down_block_additional_residuals": [part * weights for part in down],
        "mid_block_additional_residual": middle * weights,
    }
