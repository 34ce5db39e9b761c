"""Model repositories as they are on the hub, made from the tiny random pipeline."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from inference.pipelines import random_tiny


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
    for path in sorted(folder.glob("*/*.safetensors")):
        weights = load_file(path)
        half = {name: value.half() for name, value in weights.items()}
        _save(path.with_name(f"{path.stem}.fp16.safetensors"), half)
        torch.save(weights, path.with_suffix(".bin"))
        torch.save(half, path.with_name(f"{path.stem}.fp16.bin"))
    (folder / "512-depth-ema.ckpt").write_bytes(bytes(1_000_000))
    (folder / "512-depth-ema.safetensors").write_bytes(bytes(1_000_000))
    (folder / "README.md").write_text("# A model\n")
    tokenizer = folder / "tokenizer"
    state = json.loads((tokenizer / "tokenizer.json").read_text())["model"]
    (tokenizer / "vocab.json").write_text(json.dumps(state["vocab"]))
    (tokenizer / "merges.txt").write_text("#version: 0.2\n")
    (tokenizer / "tokenizer.json").unlink()
    return folder


def _save(path: Path, weights: dict[str, torch.Tensor]) -> None:
    from safetensors.torch import save_file

    save_file(weights, path, metadata={"format": "pt"})


def _edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def copy_of(folder: Path, target: Path) -> Path:
    """A copy that a test may change."""
    return shutil.copytree(folder, target)
