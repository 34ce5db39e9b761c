"""Pipelines at full size with random weights, for measurements. Nothing is downloaded.

The configurations are those of the repositories that `docs/models.md` names. The tokenizers are
those of the tiny pipelines: speed and memory depend on the number of tokens, which is fixed.
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers import (
    AutoencoderKLFlux2,
    ControlNetUnionModel,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    Flux2KleinPipeline,
    Flux2Transformer2DModel,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionXLControlNetUnionImg2ImgPipeline,
    StableDiffusionXLImg2ImgPipeline,
    UNet2DConditionModel,
)
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from inference.pipelines import random_klein, random_sd15, random_tiny
from inference.pipelines.depth import DepthEstimator
from inference.pipelines.random_sd2 import autoencoder, made_on

XL_UNET: dict[str, Any] = {
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "block_out_channels": (320, 640, 1280),
    "transformer_layers_per_block": (1, 2, 10),
    "attention_head_dim": (5, 10, 20),
    "cross_attention_dim": 2048,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}


def stable_diffusion(
    device: torch.device, dtype: torch.dtype, *, control: bool, tiny_vae: bool
) -> tuple[Any, DepthEstimator | None]:
    """Stable Diffusion 1.5; with `control`, its depth ControlNet and depth estimator."""
    pipe, depth = random_sd15.build(device)
    pipe.to(device, dtype)
    if not tiny_vae:
        with made_on(device, dtype):
            pipe.register_modules(vae=autoencoder())
    if control:
        return pipe, depth
    components = {name: part for name, part in pipe.components.items() if name != "controlnet"}
    return StableDiffusionImg2ImgPipeline(**components, requires_safety_checker=False), None


def stable_diffusion_xl(
    device: torch.device, dtype: torch.dtype, *, control: bool
) -> tuple[Any, DepthEstimator | None]:
    """Stable Diffusion XL; with `control`, ControlNet-Union and the depth estimator."""
    small: Any = random_tiny.build()
    ends = {
        "bos_token_id": small.tokenizer.bos_token_id,
        "eos_token_id": small.tokenizer.eos_token_id,
    }
    with made_on(device, dtype):
        first = CLIPTextConfig(
            vocab_size=49408,
            hidden_size=768,
            intermediate_size=3072,
            num_hidden_layers=12,
            num_attention_heads=12,
            **ends,
        )
        second = CLIPTextConfig(
            vocab_size=49408,
            hidden_size=1280,
            intermediate_size=5120,
            num_hidden_layers=32,
            num_attention_heads=20,
            hidden_act="gelu",
            projection_dim=1280,
            **ends,
        )
        components: dict[str, Any] = {
            "vae": autoencoder(),
            "text_encoder": CLIPTextModel(first).eval(),
            "text_encoder_2": CLIPTextModelWithProjection(second).eval(),
            "tokenizer": small.tokenizer,
            "tokenizer_2": small.tokenizer,
            "unet": UNet2DConditionModel(
                sample_size=128,
                up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
                **XL_UNET,
            ).eval(),
        }
        controlnet = ControlNetUnionModel(**XL_UNET).eval() if control else None
    components["scheduler"] = EulerDiscreteScheduler(
        beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, steps_offset=1
    )
    if controlnet is None:
        return StableDiffusionXLImg2ImgPipeline(**components), None
    _, depth = random_sd15.build(device)
    return StableDiffusionXLControlNetUnionImg2ImgPipeline(
        **components, controlnet=controlnet
    ), depth


def klein(device: torch.device, dtype: torch.dtype) -> Any:
    """FLUX.2 klein 4B with its text encoder, Qwen3 4B."""
    small: Any = random_klein.build()
    with made_on(device, dtype):
        text_encoder = Qwen3ForCausalLM(
            Qwen3Config(
                vocab_size=151936,
                hidden_size=2560,
                intermediate_size=9728,
                num_hidden_layers=36,
                num_attention_heads=32,
                num_key_value_heads=8,
                head_dim=128,
                tie_word_embeddings=True,
            )
        )
        transformer = Flux2Transformer2DModel(
            num_layers=5,
            num_single_layers=20,
            num_attention_heads=24,
            joint_attention_dim=7680,
            guidance_embeds=False,
        )
        vae = AutoencoderKLFlux2()
    return Flux2KleinPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True),
        vae=vae.eval(),
        text_encoder=text_encoder.eval(),
        tokenizer=small.tokenizer,
        transformer=transformer.eval(),
        is_distilled=True,
    )
