"""What a model without a catalogue entry can do, from the files of its pipeline. Imports no
torch."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args

from inference.model_entry import ALL_OPTIONS, DEPTH, MASK, ModelEntry
from inference.pipeline_files import MODEL_INDEX
from inference.types import Option, Task

KLEIN: dict[str, Any] = {
    "family": "flux2_klein",
    "tasks": ("edit", "text2img"),
    "options": MASK,
    "max_references": 4,
    "pixels": 1024 * 1024,
    # Distilled: four steps, and neither guidance nor a negative prompt.
    "steps": 4,
    "guidance_scale": 1.0,
    "half_precision": "bfloat16",
}
"""The settings of FLUX.2 klein. The model that is not distilled has guidance."""

KLEIN_BASE: dict[str, Any] = KLEIN | {
    "options": MASK | {"guidance"},
    "steps": 50,
    "guidance_scale": 4.0,
}

DESCRIPTION_FILES = (MODEL_INDEX, "unet/config.json", "vae/config.json")
"""The files of a repository that `described` reads."""

# The classes of the families `sd` and `sdxl`.
STABLE_DIFFUSION = (
    "StableDiffusionPipeline",
    "StableDiffusionImg2ImgPipeline",
    "StableDiffusionXLPipeline",
    "StableDiffusionXLImg2ImgPipeline",
)


@cache
def pipeline_classes() -> Mapping[str, Mapping[str, list[str]]]:
    """Name of a class of diffusers → its tasks → the settings that they have."""
    text = files("inference").joinpath("pipeline_classes.json").read_text(encoding="utf-8")
    classes: dict[str, dict[str, list[str]]] = json.loads(text)
    return classes


def described(entry: ModelEntry, folder: Path | None) -> ModelEntry:
    """The entry with the tasks and settings of the pipeline in a `save_pretrained` folder.

    Unchanged without a folder, and if the pipeline's class is unknown: the loading reports that.
    """
    index = _read(folder / MODEL_INDEX) if folder is not None else {}
    name = index.get("_class_name")
    # A list names code of the repository, which is not run.
    if not isinstance(name, str):
        return entry
    if name == "Flux2KleinPipeline":
        return replace(entry, **(KLEIN if index.get("is_distilled") else KLEIN_BASE))
    if name == "StableDiffusionDepth2ImgPipeline":
        return replace(entry, family="depth2img", options=ALL_OPTIONS | DEPTH)
    settings = pipeline_classes().get(name)
    if folder is None or settings is None:
        return entry
    options = _common_options(settings)
    if name in STABLE_DIFFUSION and _is_stepped(folder, index):
        options |= MASK
    tasks = tuple(task for task in get_args(Task) if task in settings)
    return replace(entry, tasks=tasks, options=options, max_references=int("edit" in tasks))


def cached_folder(repository: str) -> Path | None:
    """The folder with the newest downloaded files of a hub repository; None if there are none.

    The layout and the variables are those of huggingface_hub, which is not imported: it reads its
    environment when it is imported.
    https://huggingface.co/docs/huggingface_hub/guides/manage-cache
    """
    cache_home = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    home = os.environ.get("HF_HOME", f"{cache_home}/huggingface")
    hub = Path(os.environ.get("HF_HUB_CACHE", f"{home}/hub")).expanduser()
    snapshots = hub / f"models--{repository.replace('/', '--')}" / "snapshots"
    found = snapshots.glob(f"*/{MODEL_INDEX}")
    newest = max(found, key=lambda path: path.stat().st_mtime, default=None)
    return None if newest is None else newest.parent


def _common_options(settings: Mapping[str, list[str]]) -> frozenset[Option]:
    """The settings that all tasks have; a strength belongs to redrawing only."""
    chosen = [
        option
        for option in ALL_OPTIONS
        if all(option in having for task, having in settings.items() if _concerns(option, task))
    ]
    return frozenset(chosen) - (frozenset() if "img2img" in settings else {"strength"})


def _concerns(option: Option, task: str) -> bool:
    return option != "strength" or task == "img2img"


def _is_stepped(folder: Path, index: Mapping[str, Any]) -> bool:
    """Whether the family steps this pipeline; see `supports` in `inference.families.sd` and
    `inference.families.sdxl`."""
    unet, vae = _read(folder / "unet" / "config.json"), _read(folder / "vae" / "config.json")
    return bool(
        unet.get("in_channels", 4) == vae.get("latent_channels", 4)
        and unet.get("time_cond_proj_dim") is None
        and vae.get("latents_mean") is None
        and not index.get("requires_aesthetics_score")
        and all(index.get("text_encoder") or [None])
    )


def _read(path: Path) -> dict[str, Any]:
    """The content of a configuration file; nothing if it cannot be read."""
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content
