"""Stage `export`: the averaged weights as a pipeline folder in float16, and its vocabulary."""

from __future__ import annotations

import json
from typing import Any

import torch
from diffusers import StableDiffusionDepth2ImgPipeline

from inference.pocket.recipe import networks
from inference.pocket.recipe.settings import Recipe
from inference.pocket.recipe.train_unet import statistics
from inference.pocket.recipe.training import averaged
from inference.pocket.recipe.vocabulary import COLOURS, DEFAULTS, OBJECTS, PROMPTS


@torch.no_grad()
def normalise_latents(vae: Any, mean: torch.Tensor, deviation: torch.Tensor) -> None:
    """Fold each channel's mean and deviation into the convolutions before and after the latents.

    The pipeline has one `scaling_factor` for all channels; the UNet is trained on latents that are
    normalised per channel.
    """
    count = len(mean)
    inward, outward = vae.quant_conv, vae.post_quant_conv
    inward.bias[:count].sub_(mean).div_(deviation)
    inward.weight[:count].div_(deviation[:, None, None, None])
    # The second half of the encoder's output is the logarithm of the variance.
    inward.bias[count:].sub_(2 * deviation.log())
    outward.bias.add_(outward.weight[:, :, 0, 0] @ mean)
    outward.weight.mul_(deviation[None, :, None, None])


def pipeline(recipe: Recipe, stage: str = "unet") -> StableDiffusionDepth2ImgPipeline:
    """The pipeline of the trained components; UNet and text encoder come from `stage`."""
    words = networks.tokenizer()
    vae = averaged(recipe, "vae", "vae", networks.vae(recipe))
    normalise_latents(vae, *statistics(recipe))
    return StableDiffusionDepth2ImgPipeline(
        vae=vae,
        text_encoder=averaged(recipe, stage, "text", networks.text_encoder(recipe, words)),
        tokenizer=words,
        unet=averaged(recipe, stage, "unet", networks.unet(recipe)),
        scheduler=networks.scheduler(),
        depth_estimator=averaged(recipe, "depth", "depth", networks.depth_estimator(recipe)),
        feature_extractor=networks.feature_extractor(recipe),
    )


def export(recipe: Recipe) -> None:
    """Write the pipeline folder. Without stage `unet`, use the UNet of `unet-small`."""
    stage = "unet" if (recipe.cache / "unet.pt").exists() else "unet-small"
    pipe = pipeline(recipe, stage).to(dtype=torch.float16)
    pipe.save_pretrained(recipe.out, safe_serialization=True)
    vocabulary = {
        "objects": list(OBJECTS),
        "colours": COLOURS,
        "prompts": list(PROMPTS),
        "sample_size": recipe.native if stage == "unet" else recipe.size // 2,
        "defaults": DEFAULTS,
    }
    path = recipe.out / "vocabulary.json"
    path.write_text(json.dumps(vocabulary, indent=1) + "\n", encoding="utf-8")
    weights = sum(file.stat().st_size for file in recipe.out.glob("*/*.safetensors"))
    print(f"exported {stage} to {recipe.out}: {weights / 1e6:.1f} MB of weights", flush=True)
