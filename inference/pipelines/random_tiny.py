"""A tiny depth-to-image pipeline with random weights, built in code, for tests.

All components are real; the images are noise.
"""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    StableDiffusionDepth2ImgPipeline,
    UNet2DConditionModel,
)
from tokenizers import pre_tokenizers
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTokenizer,
    DPTConfig,
    DPTForDepthEstimation,
    DPTImageProcessor,
)

WIDTH = 32


def build(seed: int = 0) -> StableDiffusionDepth2ImgPipeline:
    """The pipeline in float32 on the CPU; the same seed gives the same weights."""
    torch.manual_seed(seed)
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [*letters, *(f"{letter}</w>" for letter in letters)]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    vocabulary |= {"<|startoftext|>": len(tokens), "<|endoftext|>": len(tokens) + 1}
    # The default maximum is 10**30 tokens, and the pipeline pads prompts to the maximum.
    tokenizer = CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=77)
    text_encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(vocabulary),
            hidden_size=WIDTH,
            intermediate_size=WIDTH,
            num_hidden_layers=1,
            num_attention_heads=2,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )
    )
    vae = AutoencoderKL(
        block_out_channels=(8, 8, 8, 8),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=4,
        layers_per_block=1,
        norm_num_groups=4,
    )
    unet = UNet2DConditionModel(
        sample_size=8,
        in_channels=5,
        out_channels=4,
        block_out_channels=(16, 32),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=WIDTH,
        attention_head_dim=2,
        norm_num_groups=8,
    )
    depth_estimator = DPTForDepthEstimation(
        DPTConfig(
            hidden_size=WIDTH,
            num_hidden_layers=4,
            num_attention_heads=2,
            intermediate_size=WIDTH,
            image_size=64,
            patch_size=16,
            backbone_out_indices=[0, 1, 2, 3],
            neck_hidden_sizes=[8, 8, 8, 8],
            fusion_hidden_size=8,
            is_hybrid=False,
            use_auxiliary_head=False,
        )
    )
    return StableDiffusionDepth2ImgPipeline(
        vae=vae.eval(),
        text_encoder=text_encoder.eval(),
        tokenizer=tokenizer,
        unet=unet.eval(),
        scheduler=DDIMScheduler(
            beta_schedule="scaled_linear",
            beta_start=0.00085,
            beta_end=0.012,
            clip_sample=False,
            steps_offset=1,
        ),
        depth_estimator=depth_estimator.eval(),
        feature_extractor=DPTImageProcessor(size={"height": 64, "width": 64}),
    )


def save(folder: Path, seed: int = 0) -> Path:
    """Save the pipeline in `folder` in the `save_pretrained` layout; return `folder`."""
    build(seed).save_pretrained(folder)
    return folder
