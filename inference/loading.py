"""From a catalogue entry to a pipeline on a device. Runs in the worker process only.

Safetensors only, no remote code. The revision that a repository's name meant at the first download
is remembered in the cache folder and kept.
"""

from __future__ import annotations

import errno
import json
import logging
from pathlib import Path
from typing import Any

import httpx2
import torch
from diffusers import (
    AutoPipelineForImage2Image,
    DiffusionPipeline,
    StableDiffusionDepth2ImgPipeline,
)
from huggingface_hub import HfApi, errors
from transformers import DPTImageProcessor

from inference import tiny
from inference.errors import ModelUnavailable
from inference.models import ModelEntry

log = logging.getLogger(__name__)

REVISIONS = "revisions.json"
UNREACHABLE = (
    errors.OfflineModeIsEnabled,
    errors.LocalEntryNotFoundError,
    httpx2.TransportError,
)


def load_pipeline(
    entry: ModelEntry, device: torch.device, dtype: torch.dtype, cache_dir: Path
) -> Any:
    """The entry's pipeline, on the device.

    Raises:
        ModelUnavailable: with a sentence that says why and what to do.
    """
    if entry.source == "":
        return tiny.build().to(device, dtype)
    try:
        revision = _revision(entry, cache_dir)
        pipe = _from_pretrained(entry, revision, dtype)
        return pipe.to(device)
    except torch.OutOfMemoryError as error:
        raise ModelUnavailable(
            f"{entry.name} does not fit the device's memory: close what else uses it, "
            "or choose a smaller MODEL."
        ) from error
    except errors.GatedRepoError as error:
        raise ModelUnavailable(
            f"{entry.source} is gated: accept its terms on its page, then set HF_TOKEN to your "
            "access token."
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise ModelUnavailable(
            f"{entry.source} is not there (any more), or private: check MODEL."
        ) from error
    except UNREACHABLE as error:
        raise ModelUnavailable(
            f"{entry.source} has not been downloaded yet and the model hub cannot be reached: "
            "connect this machine to the internet for the first start."
        ) from error
    except OSError as error:
        raise ModelUnavailable(_os_error(entry, error)) from error
    except ValueError as error:
        raise ModelUnavailable(
            f"{entry.source} is not a pipeline that can redraw pictures: {_first_line(error)}"
        ) from error


def _os_error(entry: ModelEntry, error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return (
            f"The disk is full: {entry.name} needs room to be downloaded. Free some, start again."
        )
    if "safetensors" in str(error):
        return f"{entry.source} has no safetensors weights, and nothing else is loaded."
    return f"{entry.source} cannot be loaded: {_first_line(error)}"


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _from_pretrained(entry: ModelEntry, revision: str | None, dtype: torch.dtype) -> Any:
    options: dict[str, Any] = {
        "revision": revision,
        "torch_dtype": dtype,
        "use_safetensors": True,
    }
    index = DiffusionPipeline.load_config(entry.source, revision=revision)
    if index.get("_class_name") != StableDiffusionDepth2ImgPipeline.__name__:
        return AutoPipelineForImage2Image.from_pretrained(entry.source, **options)
    # Repositories of that time name DPTFeatureExtractor, which transformers 5 no longer has.
    options["feature_extractor"] = DPTImageProcessor.from_pretrained(
        entry.source, subfolder="feature_extractor", revision=revision
    )
    return StableDiffusionDepth2ImgPipeline.from_pretrained(entry.source, **options)


def _revision(entry: ModelEntry, cache_dir: Path) -> str | None:
    """The commit that the repository's name meant at the first download; None for a folder."""
    if Path(entry.source).is_dir():
        return None
    path = cache_dir / REVISIONS
    known: dict[str, str] = json.loads(path.read_text()) if path.is_file() else {}
    if entry.source not in known:
        log.info("downloading %s (%s)", entry.source, entry.licence)
        known[entry.source] = str(HfApi().model_info(entry.source).sha)
        cache_dir.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        part.write_text(json.dumps(known, indent=2))
        part.replace(path)
    return known[entry.source]
