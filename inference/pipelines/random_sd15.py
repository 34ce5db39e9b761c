"""Stable Diffusion 1.5 with a depth ControlNet at full size with random weights, for speed
measurements.

The configurations are those of `stable-diffusion-v1-5/stable-diffusion-v1-5`,
`lllyasviel/control_v11f1p_sd15_depth`, `madebyollin/taesd` and
`depth-anything/Depth-Anything-V2-Small-hf`. Nothing is downloaded.
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers import (
    AutoencoderTiny,
    ControlNetModel,
    PNDMScheduler,
    StableDiffusionControlNetImg2ImgPipeline,
    UNet2DConditionModel,
)
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    DepthAnythingConfig,
    DepthAnythingForDepthEstimation,
    Dinov2Config,
    DPTImageProcessor,
)

from inference.pipelines import random_tiny
from inference.pipelines.depth import DepthEstimator
from inference.pipelines.schedulers import new_scheduler


def build(device: torch.device) -> tuple[Any, DepthEstimator]:
    """The pipeline of `sd15-depth-lcm` in float32 on the device, and its depth estimator: 1.4
    billion parameters. The tokenizer is the tiny pipeline's: speed depends on the number of tokens,
    which is 77 for both."""
    small: Any = random_tiny.build()
    with device:
        text_encoder = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=49408,
                hidden_size=768,
                intermediate_size=3072,
                num_hidden_layers=12,
                num_attention_heads=12,
                bos_token_id=small.tokenizer.bos_token_id,
                eos_token_id=small.tokenizer.eos_token_id,
            )
        )
        unet = UNet2DConditionModel(sample_size=64, cross_attention_dim=768, attention_head_dim=8)
        controlnet = ControlNetModel(cross_attention_dim=768, attention_head_dim=8)
        vae = AutoencoderTiny()
        estimator = DepthAnythingForDepthEstimation(
            DepthAnythingConfig(
                backbone_config=Dinov2Config(
                    hidden_size=384,
                    num_attention_heads=6,
                    image_size=518,
                    patch_size=14,
                    out_features=["stage3", "stage6", "stage9", "stage12"],
                    reshape_hidden_states=False,
                    apply_layernorm=True,
                ),
                reassemble_hidden_size=384,
                neck_hidden_sizes=[48, 96, 192, 384],
                fusion_hidden_size=64,
            )
        )
    repository_scheduler = PNDMScheduler(
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        skip_prk_steps=True,
        set_alpha_to_one=False,
        steps_offset=1,
    )
    pipe: Any = StableDiffusionControlNetImg2ImgPipeline(
        vae=vae.eval(),
        text_encoder=text_encoder.eval(),
        tokenizer=small.tokenizer,
        unet=unet.eval(),
        controlnet=controlnet.eval(),
        scheduler=new_scheduler(repository_scheduler, "lcm"),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    processor = DPTImageProcessor(
        size={"height": 518, "width": 518}, keep_aspect_ratio=True, ensure_multiple_of=14
    )
    return pipe, DepthEstimator(estimator.eval(), processor)
