"""The family of `StableDiffusionDepth2ImgPipeline`: Stable Diffusion steered by a depth map."""

from __future__ import annotations

import torch
from diffusers import StableDiffusionDepth2ImgPipeline

from inference.families.conditioning import CACHE_BYTES, ConditioningEncoder, EncodedPicture
from inference.families.latent_diffusion import LatentDiffusionModel
from inference.families.prompts import ClipPrompts
from inference.pipelines.depth import DepthEstimator
from inference.types import ImageRequest


class Depth2ImgModel(LatentDiffusionModel):
    """The UNet has the depth map as a fifth channel of its input.

    `cache_bytes` bounds the memory of cached prompts and pictures.
    """

    def __init__(
        self, pipe: StableDiffusionDepth2ImgPipeline, *, cache_bytes: int = CACHE_BYTES
    ) -> None:
        encoder = ConditioningEncoder(
            pipe,
            ClipPrompts(pipe),
            DepthEstimator(pipe.depth_estimator, pipe.feature_extractor),
            depth_scale=pipe.vae_scale_factor,
            cache_bytes=cache_bytes,
        )
        super().__init__(pipe, encoder)

    def _conditions(
        self, request: ImageRequest, encoded: EncodedPicture
    ) -> tuple[torch.Tensor, ...]:
        assert encoded.depth is not None, request.id
        return (encoded.depth,)

    def _call_denoiser(
        self, latents: torch.Tensor, times: torch.Tensor, *inputs: torch.Tensor
    ) -> torch.Tensor:
        text, depth = inputs
        values = torch.cat([latents, depth], dim=1)
        if self.device.type == "cuda":
            values = values.contiguous(memory_format=torch.channels_last)
        predictions: torch.Tensor = self.pipe.unet(
            values, times, encoder_hidden_states=text, return_dict=False
        )[0]
        return predictions
