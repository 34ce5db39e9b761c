"""Tiny pipelines with random weights for the families sd and sdxl, and the models beside them.

Also one depth-to-image pipeline that the tests of a process share, each of which gets it as it was
built: building it and fitting its preview takes longer than most requests of a test.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import pytest
import torch
from diffusers import (
    AutoencoderTiny,
    ControlNetModel,
    ControlNetUnionModel,
    StableDiffusionControlNetImg2ImgPipeline,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionXLControlNetUnionImg2ImgPipeline,
    StableDiffusionXLImg2ImgPipeline,
    UNet2DConditionModel,
)
from transformers import (
    CLIPTextConfig,
    CLIPTextModelWithProjection,
    DepthAnythingConfig,
    DepthAnythingForDepthEstimation,
    Dinov2Config,
    DPTImageProcessor,
)

from inference.families.depth2img import Depth2ImgModel
from inference.families.latent_preview import LatentPreview
from inference.pipelines import random_tiny
from inference.pipelines.depth import DepthEstimator

WIDTH = random_tiny.WIDTH
UNET: dict[str, Any] = {
    "in_channels": 4,
    "block_out_channels": (16, 32),
    "layers_per_block": 1,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "attention_head_dim": 2,
    "norm_num_groups": 8,
}
XL: dict[str, Any] = {
    "cross_attention_dim": 2 * WIDTH,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 8,
    "projection_class_embeddings_input_dim": 6 * 8 + WIDTH,
}
CONTROL: dict[str, Any] = {"conditioning_embedding_out_channels": (4, 8, 8, 8)}


def stable_diffusion(*, control: bool = False, tiny_vae: bool = False) -> Any:
    """Stable Diffusion 1.5."""
    torch.manual_seed(0)
    parts: Any = random_tiny.build()
    components = {
        "vae": autoencoder_tiny() if tiny_vae else parts.vae,
        "text_encoder": parts.text_encoder,
        "tokenizer": parts.tokenizer,
        "unet": unet(cross_attention_dim=WIDTH),
        "scheduler": parts.scheduler,
        "safety_checker": None,
        "feature_extractor": None,
        "requires_safety_checker": False,
    }
    if not control:
        return _quiet(StableDiffusionImg2ImgPipeline(**components))
    controlnet = ControlNetModel(**UNET, **CONTROL, cross_attention_dim=WIDTH)
    return _quiet(
        StableDiffusionControlNetImg2ImgPipeline(**components, controlnet=random_zeros(controlnet))
    )


def stable_diffusion_xl(*, control: bool = False) -> Any:
    """Stable Diffusion XL, whose second tokenizer pads with another token."""
    torch.manual_seed(1)
    parts: Any = random_tiny.build()
    config = parts.text_encoder.config.to_dict() | {"projection_dim": WIDTH, "num_hidden_layers": 2}
    second_tokenizer: Any = random_tiny.build().tokenizer
    second_tokenizer.pad_token = "!"
    components = {
        "vae": parts.vae,
        "text_encoder": parts.text_encoder,
        "text_encoder_2": CLIPTextModelWithProjection(CLIPTextConfig(**config)).eval(),
        "tokenizer": parts.tokenizer,
        "tokenizer_2": second_tokenizer,
        "unet": unet(**XL),
        "scheduler": parts.scheduler,
    }
    if not control:
        return _quiet(StableDiffusionXLImg2ImgPipeline(**components))
    controlnet = controlnet_union()
    return _quiet(
        StableDiffusionXLControlNetUnionImg2ImgPipeline(**components, controlnet=controlnet)
    )


def controlnet_union() -> Any:
    """ControlNet-Union for the tiny Stable Diffusion XL."""
    transformer = {"num_trans_channel": 16, "num_trans_head": 2, "num_proj_channel": 16}
    return random_zeros(ControlNetUnionModel(**UNET, **XL, **CONTROL, **transformer))


def unet(**options: Any) -> Any:
    """A UNet with two blocks."""
    up = ("CrossAttnUpBlock2D", "UpBlock2D")
    return UNet2DConditionModel(sample_size=8, up_block_types=up, **UNET, **options).eval()


def autoencoder_tiny() -> Any:
    """A tiny autoencoder that halves the sides three times, as the full VAE does."""
    return AutoencoderTiny(
        encoder_block_out_channels=(8, 8, 8, 8),
        decoder_block_out_channels=(8, 8, 8, 8),
        num_encoder_blocks=(1, 1, 1, 1),
        num_decoder_blocks=(1, 1, 1, 1),
    ).eval()


def depth_anything() -> DepthEstimator:
    """Depth-Anything-V2 with one transformer layer for each of its four outputs."""
    torch.manual_seed(2)
    backbone = Dinov2Config(
        hidden_size=16,
        num_hidden_layers=4,
        num_attention_heads=2,
        image_size=56,
        patch_size=14,
        out_features=["stage1", "stage2", "stage3", "stage4"],
        reshape_hidden_states=False,
        apply_layernorm=True,
    )
    config = DepthAnythingConfig(
        backbone_config=backbone,
        patch_size=14,
        reassemble_hidden_size=16,
        neck_hidden_sizes=[8, 8, 8, 8],
        fusion_hidden_size=8,
        head_hidden_size=8,
    )
    return DepthEstimator(
        DepthAnythingForDepthEstimation(config).eval(),
        DPTImageProcessor(
            size={"height": 56, "width": 56},
            keep_aspect_ratio=True,
            ensure_multiple_of=14,
        ),
    )


def random_zeros(controlnet: Any) -> Any:
    """The ControlNet with random values in place of its zeros, and with larger weights where it
    reads its picture, so that the picture has an effect."""
    for parameter in controlnet.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.2)
    for parameter in controlnet.controlnet_cond_embedding.parameters():
        parameter.data *= 3
    return controlnet.eval()


def _quiet(pipe: Any) -> Any:
    pipe.set_progress_bar_config(disable=True)
    return pipe


@contextmanager
def shared_model(**options: Any) -> Iterator[Depth2ImgModel]:
    """A new model with the shared pipeline. `options` are those of `Depth2ImgModel`.

    Afterwards the pipeline's objects have the attributes, hooks and weights that they had before.
    """
    pipe, projection = _built()
    with _restored(pipe):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(LatentPreview, "_fit", lambda *_: projection)
            model = Depth2ImgModel(pipe, **options)
        yield model


@cache
def _built() -> tuple[Any, tuple[torch.Tensor, torch.Tensor]]:
    """The pipeline, and the projection that is fitted to it."""
    pipe: Any = random_tiny.build()
    preview = LatentPreview(pipe)
    return pipe, (preview._weights, preview._bias)


@contextmanager
def _restored(pipe: Any) -> Iterator[None]:
    parts = [part for part in pipe.components.values() if isinstance(part, torch.nn.Module)]
    modules = [module for part in parts for module in part.modules()]
    objects = [pipe, pipe.image_processor, *pipe.components.values(), *modules]
    attributes = [(vars(each), dict(vars(each))) for each in objects]
    # Hooks, parameters and submodules are in dictionaries of each module.
    attributes += [
        (value, dict(value))
        for module in modules
        for value in vars(module).values()
        if type(value) in (dict, OrderedDict)
    ]
    tensors = [each for part in parts for each in (*part.parameters(), *part.buffers())]
    values = [(each, each.data, each.data.clone()) for each in tensors]
    yield
    for present, before in attributes:
        present.clear()
        present.update(before)
    for tensor, data, value in values:
        tensor.data = data
        data.copy_(value)
