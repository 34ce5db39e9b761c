"""The untrained components of the pipeline: small versions of those of Stable Diffusion 2 depth."""

from __future__ import annotations

import json
from typing import Any

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from safetensors.torch import load_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTokenizer,
    DPTConfig,
    DPTForDepthEstimation,
    DPTImageProcessor,
)

from inference.pocket.recipe.settings import Recipe
from inference.pocket.recipe.vocabulary import COLOURS, OBJECTS

# CLIP's own window; the pipeline pads to it.
WINDOW = 77
DEPTH_PATCH = 16


def _warm_started(recipe: Recipe, part: str, model: Any) -> Any:
    """Load the weights of `recipe.start`, if it is set. Only the weights: a configuration that was
    read from a folder would write the folder's path into the export."""
    if recipe.start is not None:
        (weights,) = (recipe.start / part).glob("*.safetensors")
        model.load_state_dict(load_file(weights))
    return model


def vae(recipe: Recipe) -> AutoencoderKL:
    """8 pixels a latent with four levels; no attention, so the cost grows with the area only."""
    levels = len(recipe.vae_channels)
    model = AutoencoderKL(
        block_out_channels=recipe.vae_channels,
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        latent_channels=recipe.latent_channels,
        layers_per_block=1,
        norm_num_groups=8,
        mid_block_add_attention=False,
        sample_size=recipe.size,
        # Latents are normalised channel by channel inside the network at export.
        scaling_factor=1.0,
    )
    return _warm_started(recipe, "vae", model)


def unet(recipe: Recipe) -> UNet2DConditionModel:
    """Attention at all levels but the first, where it costs most.

    The text has two inputs: cross-attention, and a pooled embedding that is added to the time
    embedding and gives scale and shift of every block (`addition_embed_type="text"`). The pipeline
    computes both from the same states.
    """
    levels = len(recipe.unet_channels)
    return UNet2DConditionModel(
        sample_size=recipe.native // recipe.downsampling,
        in_channels=recipe.latent_channels + 1,
        out_channels=recipe.latent_channels,
        block_out_channels=recipe.unet_channels,
        layers_per_block=1,
        down_block_types=("DownBlock2D",) + ("CrossAttnDownBlock2D",) * (levels - 1),
        up_block_types=("CrossAttnUpBlock2D",) * (levels - 1) + ("UpBlock2D",),
        mid_block_type="UNetMidBlock2DCrossAttn",
        cross_attention_dim=recipe.text_width,
        # This option is the number of heads; each has 16 channels.
        attention_head_dim=tuple(max(1, width // 16) for width in recipe.unet_channels),
        addition_embed_type="text",
        addition_embed_type_num_heads=4,
        resnet_time_scale_shift="scale_shift",
        norm_num_groups=16,
        use_linear_projection=True,
    )


def tokenizer() -> CLIPTokenizer:
    """Byte-level BPE: known words are single tokens, other words are split into letters."""
    words = [*OBJECTS, *COLOURS, "a", "an", "on", "background", "photo", "of", "the", "and", "with"]
    bpe = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    bpe.normalizer = normalizers.Lowercase()
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=4000,
        min_frequency=1,
        initial_alphabet=alphabet,
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    bpe.train_from_iterator(words, trainer)
    state = json.loads(bpe.to_str())["model"]
    tokens = [*alphabet, *(f"{letter}</w>" for letter in alphabet)]
    tokens += [token for token in state["vocab"] if token not in set(tokens)]
    vocabulary = {token: number for number, token in enumerate(dict.fromkeys(tokens))}
    for special in ("<|startoftext|>", "<|endoftext|>"):
        vocabulary[special] = len(vocabulary)
    return CLIPTokenizer(
        vocab=vocabulary,
        merges=[tuple(merge) for merge in state["merges"]],
        model_max_length=WINDOW,
    )


def text_encoder(recipe: Recipe, words: CLIPTokenizer) -> CLIPTextModel:
    """A CLIP text model with few layers."""
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(words),
            hidden_size=recipe.text_width,
            intermediate_size=2 * recipe.text_width,
            num_hidden_layers=recipe.text_layers,
            num_attention_heads=max(1, recipe.text_width // 48),
            max_position_embeddings=WINDOW,
            projection_dim=recipe.text_width,
            bos_token_id=words.bos_token_id,
            eos_token_id=words.eos_token_id,
            pad_token_id=words.pad_token_id,
        )
    )


def depth_estimator(recipe: Recipe) -> DPTForDepthEstimation:
    """A DPT with patches of 16 pixels. The side of its map is half the image's side, which is four
    times the side of the latents."""
    width = recipe.depth_width
    model = DPTForDepthEstimation(
        DPTConfig(
            hidden_size=width,
            num_hidden_layers=recipe.depth_layers,
            num_attention_heads=max(1, width // 32),
            intermediate_size=2 * width,
            image_size=recipe.size,
            patch_size=DEPTH_PATCH,
            backbone_out_indices=list(range(recipe.depth_layers)),
            neck_hidden_sizes=[width // 4, width // 2, width, width],
            reassemble_factors=[2, 1, 0.5, 0.25],
            fusion_hidden_size=width // 2,
            head_in_index=-1,
            is_hybrid=False,
            use_auxiliary_head=False,
            add_projection=False,
            qkv_bias=True,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        )
    )
    # The output starts above zero: a ReLU with a negative input has no gradient.
    torch.nn.init.constant_(model.head.head[-2].bias, 0.5)
    return _warm_started(recipe, "depth_estimator", model)


def feature_extractor(recipe: Recipe) -> DPTImageProcessor:
    """Resizes every image to a square, which a DPT without a separate backbone needs. The pipeline
    resizes the depth map to the shape of the image."""
    return DPTImageProcessor(
        size={"height": recipe.size, "width": recipe.size},
        keep_aspect_ratio=False,
        image_mean=[0.5, 0.5, 0.5],
        image_std=[0.5, 0.5, 0.5],
    )


def scheduler() -> DDIMScheduler:
    """Zero terminal SNR, so that at strength 1 the result does not depend on the source's colours.

    Lin et al. 2024, "Common Diffusion Noise Schedules and Sample Steps Are Flawed".
    """
    return DDIMScheduler(
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        clip_sample=False,
        set_alpha_to_one=True,
    )
