"""A tiny FLUX.2 klein pipeline with random weights, built in code, for tests.

All components are real; the images are noise.
"""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import (
    AutoencoderKLFlux2,
    FlowMatchEulerDiscreteScheduler,
    Flux2KleinPipeline,
    Flux2Transformer2DModel,
)
from tokenizers import pre_tokenizers
from transformers import Qwen2Tokenizer, Qwen3Config, Qwen3ForCausalLM

TEXT_WIDTH = 16
# The pipeline reads the text encoder's layers 9, 18 and 27.
TEXT_LAYERS = 28
LATENT_CHANNELS = 4

END, USER_START, USER_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
# The part of Qwen3's template that a single message of a user needs, without thinking.
CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}"
    "{{- '<|im_start|>assistant\\n' -}}"
    "{%- if enable_thinking is defined and enable_thinking is false -%}"
    "{{- '<think>\\n\\n</think>\\n\\n' -}}"
    "{%- endif -%}"
    "{%- endif -%}"
)


def build(seed: int = 0, *, distilled: bool = True) -> Flux2KleinPipeline:
    """The pipeline in float32 on the CPU; the same seed gives the same weights.

    `distilled` is the library's setting: such a model ignores the guidance scale.
    """
    torch.manual_seed(seed)
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate(letters)}
    special = (END, USER_START, USER_END)
    vocabulary |= {token: len(letters) + number for number, token in enumerate(special)}
    tokenizer = Qwen2Tokenizer(
        vocab=vocabulary,
        merges=[],
        additional_special_tokens=[USER_START, USER_END],
        model_max_length=131072,
        chat_template=CHAT_TEMPLATE,
    )
    text_encoder = Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=len(vocabulary),
            hidden_size=TEXT_WIDTH,
            intermediate_size=TEXT_WIDTH,
            num_hidden_layers=TEXT_LAYERS,
            num_attention_heads=2,
            num_key_value_heads=1,
            head_dim=8,
            max_position_embeddings=1024,
        )
    )
    vae = AutoencoderKLFlux2(
        block_out_channels=(8, 8, 8, 8),
        layers_per_block=1,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=4,
        sample_size=64,
    )
    # A trained autoencoder has these statistics of its latents; a fresh one has zeros and ones.
    vae.bn.running_mean.normal_(0.0, 0.5)
    vae.bn.running_var.uniform_(0.5, 2.0)
    transformer = Flux2Transformer2DModel(
        in_channels=4 * LATENT_CHANNELS,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=3 * TEXT_WIDTH,
        timestep_guidance_channels=16,
        axes_dims_rope=(4, 4, 4, 4),
        guidance_embeds=False,
    )
    # With the usual initialisation, prompts and references would hardly change the result.
    for weight in transformer.parameters():
        if weight.ndim == 2:
            torch.nn.init.normal_(weight, std=1.5 / weight.shape[1] ** 0.5)
    return Flux2KleinPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True),
        vae=vae.eval(),
        text_encoder=text_encoder.eval(),
        tokenizer=tokenizer,
        transformer=transformer.eval(),
        is_distilled=distilled,
    )


def save(folder: Path, seed: int = 0) -> Path:
    """Save the pipeline in `folder` in the `save_pretrained` layout; return `folder`."""
    build(seed).save_pretrained(folder)
    return folder
