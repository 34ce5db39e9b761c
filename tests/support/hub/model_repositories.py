"""Model repositories as they are on the hub, made from the tiny random pipeline."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline
from safetensors.torch import load_file
from transformers import CLIPImageProcessorPil

from inference.pipelines import random_klein, random_tiny
from tests.support import tiny_models


def save_old_layout(folder: Path) -> Path:
    """The layout of Stable Diffusion 2 depth's repository, which is from 2022.

    Its index names `DPTFeatureExtractor`, whose size is an integer; each weights file also exists
    as `.bin` and in the variant fp16; there is a checkpoint in the root; the tokenizer has only its
    vocabulary and its merges.
    """
    random_tiny.save(folder)
    _edit(
        folder / "model_index.json",
        feature_extractor=["transformers", "DPTFeatureExtractor"],
        requires_safety_checker=False,
    )
    extractor = folder / "feature_extractor" / "preprocessor_config.json"
    config = json.loads(extractor.read_text())
    for key in ("image_processor_type", "processor_class"):
        config.pop(key, None)
    config |= {"feature_extractor_type": "DPTFeatureExtractor", "size": config["size"]["height"]}
    extractor.write_text(json.dumps(config))
    _add_variants(folder, "*/*.safetensors")
    (folder / "512-depth-ema.ckpt").write_bytes(bytes(1_000_000))
    (folder / "512-depth-ema.safetensors").write_bytes(bytes(1_000_000))
    (folder / "README.md").write_text("# A model\n")
    tokenizer = folder / "tokenizer"
    state = json.loads((tokenizer / "tokenizer.json").read_text())["model"]
    (tokenizer / "vocab.json").write_text(json.dumps(state["vocab"]))
    (tokenizer / "merges.txt").write_text("#version: 0.2\n")
    (tokenizer / "tokenizer.json").unlink()
    return folder


def save_klein_layout(folder: Path) -> Path:
    """The layout of FLUX.2 klein's repository, which is from 2026.

    The text encoder's weights are in shards with an index; the tokenizer has a chat template in a
    file of its own, and its class has its old name; the whole transformer is in the root, too.
    """
    pipe: Any = random_klein.build()
    pipe.save_pretrained(folder)
    encoder = folder / "text_encoder"
    (encoder / "model.safetensors").unlink()
    pipe.text_encoder.save_pretrained(encoder, max_shard_size="150KB")
    _edit(folder / "model_index.json", tokenizer=["transformers", "Qwen2TokenizerFast"])
    (folder / "flux-2-klein-4b.safetensors").write_bytes(bytes(1_000_000))
    for name in ("README.md", "LICENSE.md", "teaser.png"):
        (folder / name).write_bytes(b"x")
    return folder


def _add_variants(folder: Path, pattern: str) -> None:
    """Save the weights also as `.bin` and in the variant fp16."""
    for path in sorted(folder.glob(pattern)):
        weights = load_file(path)
        half = {name: value.half() for name, value in weights.items()}
        _save(path.with_name(f"{path.stem}.fp16.safetensors"), half)
        torch.save(weights, path.with_suffix(".bin"))
        torch.save(half, path.with_name(f"{path.stem}.fp16.bin"))


def save_stable_diffusion(folder: Path) -> Path:
    """The layout of Stable Diffusion 1.5's repository: a classifier of finished pictures, and
    checkpoints in the root."""
    parts = tiny_models.stable_diffusion().components
    pipe = StableDiffusionPipeline(**parts, requires_safety_checker=False)
    pipe.save_pretrained(folder)
    _edit(
        folder / "model_index.json",
        safety_checker=["stable_diffusion", "StableDiffusionSafetyChecker"],
        feature_extractor=["transformers", "CLIPImageProcessor"],
    )
    (folder / "safety_checker").mkdir()
    (folder / "safety_checker" / "model.safetensors").write_bytes(bytes(1000))
    CLIPImageProcessorPil().save_pretrained(folder / "feature_extractor")
    _add_variants(folder, "*net/*.safetensors")
    (folder / "v1-5-pruned-emaonly.safetensors").write_bytes(bytes(1000))
    return folder


def save_stable_diffusion_xl(folder: Path) -> Path:
    """The layout of Stable Diffusion XL's repository: ONNX files beside the weights, and further
    VAEs that the index does not name."""
    pipe = StableDiffusionXLPipeline(**tiny_models.stable_diffusion_xl().components)
    pipe.save_pretrained(folder)
    _add_variants(folder, "*/*.safetensors")
    shutil.copytree(folder / "vae", folder / "vae_1_0")
    (folder / "unet" / "model.onnx").write_bytes(bytes(1000))
    (folder / "sd_xl_base_1.0.safetensors").write_bytes(bytes(1000))
    return folder


def save_lora(folder: Path, unet: Any, name: str) -> Path:
    """A LoRA for the attention layers of `unet` in the format of kohya-ss/sd-scripts."""
    weights: dict[str, torch.Tensor] = {}
    generator = torch.Generator().manual_seed(3)
    for path, module in unet.named_modules():
        if path.rpartition(".")[2] in ("to_q", "to_k", "to_v"):
            key = f"lora_unet_{path.replace('.', '_')}"
            rows, columns = module.weight.shape
            weights[f"{key}.lora_down.weight"] = torch.randn(2, columns, generator=generator)
            weights[f"{key}.lora_up.weight"] = torch.randn(rows, 2, generator=generator)
            weights[f"{key}.alpha"] = torch.tensor(1.0)
    folder.mkdir(parents=True, exist_ok=True)
    _save(folder / name, weights)
    return folder


def save_further_repositories(folder: Path) -> dict[str, Path]:
    """The repositories that the catalogue's entries need beside their own, by name."""
    made = {name: folder / name for name in FURTHER}
    for name, build in FURTHER.items():
        build(made[name])
    _add_variants(made["lllyasviel/control_v11f1p_sd15_depth"], "*.safetensors")
    union = made["xinsir/controlnet-union-sdxl-1.0"]
    weights = union / "diffusion_pytorch_model.safetensors"
    shutil.copy(weights, union / "diffusion_pytorch_model_promax.safetensors")
    shutil.copy(union / "config.json", union / "config_promax.json")
    tiny = made["madebyollin/taesd"]
    (tiny / "taesd_decoder.safetensors").write_bytes(bytes(1000))
    return made


def _save_depth_estimator(folder: Path) -> None:
    depth = tiny_models.depth_anything()
    depth.model.save_pretrained(folder)
    depth.processor.save_pretrained(folder)


def _save_controlnet(folder: Path) -> None:
    tiny_models.stable_diffusion(control=True).controlnet.save_pretrained(folder)


FURTHER: dict[str, Callable[[Path], object]] = {
    "lllyasviel/control_v11f1p_sd15_depth": _save_controlnet,
    "madebyollin/taesd": lambda folder: tiny_models.autoencoder_tiny().save_pretrained(folder),
    "latent-consistency/lcm-lora-sdv1-5": lambda folder: save_lora(
        folder, tiny_models.stable_diffusion().unet, "pytorch_lora_weights.safetensors"
    ),
    "madebyollin/sdxl-vae-fp16-fix": lambda folder: random_tiny.build().vae.save_pretrained(folder),
    "xinsir/controlnet-union-sdxl-1.0": lambda folder: (
        tiny_models.controlnet_union().save_pretrained(folder)
    ),
    "ByteDance/SDXL-Lightning": lambda folder: save_lora(
        folder, tiny_models.stable_diffusion_xl().unet, "sdxl_lightning_4step_lora.safetensors"
    ),
    "depth-anything/Depth-Anything-V2-Small-hf": _save_depth_estimator,
}


def _save(path: Path, weights: dict[str, torch.Tensor]) -> None:
    from safetensors.torch import save_file

    save_file(weights, path, metadata={"format": "pt"})


def _edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def copy_of(folder: Path, target: Path) -> Path:
    """A copy that a test may change."""
    return shutil.copytree(folder, target)
