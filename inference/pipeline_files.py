"""Selects the files of a repository that a pipeline, or one of its models, needs."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any

MODEL_INDEX = "model_index.json"
HALF_VARIANT = "fp16"
ROOT_CONFIGURATION = ("config.json", "preprocessor_config.json")

# `model.safetensors`, `model.fp16.safetensors`, `model.fp16-00001-of-00002.safetensors`, and the
# old form of shards, `model-00001-of-00002.fp16.safetensors`.
_WEIGHTS = re.compile(
    r"(?P<base>diffusion_pytorch_model|model|pytorch_model)(-\d{5}-of-\d{5})?"
    r"(?:\.(?P<variant>[a-z0-9_]+))?(-\d{5}-of-\d{5})?\.safetensors"
)
_CONFIGURATION = (".json", ".txt", ".model", ".jinja")


def select_files(
    names: Iterable[str], index: Mapping[str, Any], *, half: bool, skip: Container[str] = ()
) -> list[str]:
    """The files of a repository that a pipeline needs, given the content of its model_index.json.

    Of each component these are the configuration and the safetensors weights: with `half` those of
    the variant fp16 if it has them, else the ordinary ones. Other formats, other variants, files
    beside the components' folders and the components in `skip` are left out.
    """
    folders: dict[str, list[str]] = defaultdict(list)
    for name in names:
        folder, _, file = name.rpartition("/")
        if folder and folder not in skip and _is_component(index.get(folder)):
            folders[folder].append(file)
    selected = [MODEL_INDEX]
    for folder, files in folders.items():
        configuration = [f for f in files if f.endswith(_CONFIGURATION) and ".index." not in f]
        wanted = [*_weights(files, half=half), *configuration]
        selected += [f"{folder}/{file}" for file in wanted]
    return sorted(selected)


def select_root_files(names: Iterable[str], *, half: bool) -> list[str]:
    """The files of a repository that holds one model in its root: its configuration, the
    configuration of its image processor, and its weights as in `select_files`."""
    files = [name for name in names if "/" not in name]
    return sorted([*_weights(files, half=half), *(f for f in files if f in ROOT_CONFIGURATION)])


def _weights(files: Sequence[str], *, half: bool) -> list[str]:
    """The weights of one component and the index of their shards."""
    variants: dict[str, list[str]] = defaultdict(list)
    for file in files:
        if match := _WEIGHTS.fullmatch(file):
            variants[match["variant"] or ""].append(file)
    variant = HALF_VARIANT if half and HALF_VARIANT in variants else ""
    indices = [file for file in files if file.endswith(".safetensors.index.json")]
    return [
        *variants[variant],
        *(file for file in indices if (f".{HALF_VARIANT}." in file) == bool(variant)),
    ]


def _is_component(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(value)
