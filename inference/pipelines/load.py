"""From a catalogue entry to a pipeline on a device. Runs in the worker process only.

Safetensors only, no remote code. The revision that a repository's name meant at the first download
is remembered in the cache folder and kept.
"""

from __future__ import annotations

import errno
import json
import logging
from collections.abc import Callable
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

from inference.errors import ModelUnavailable
from inference.models import ModelEntry
from inference.pipelines import random_tiny
from inference.pipelines.devices import is_out_of_memory
from inference.pipelines.schedulers import new_scheduler
from inference.worker.messages import Loading

log = logging.getLogger(__name__)

REVISIONS = "revisions.json"
UNREACHABLE = (
    errors.OfflineModeIsEnabled,
    errors.LocalEntryNotFoundError,
    httpx2.TransportError,
)


def load_pipeline(
    entry: ModelEntry,
    device: torch.device,
    dtype: torch.dtype,
    cache_dir: Path,
    report: Callable[[Loading], None],
) -> Any:
    """The entry's pipeline, on the device; `report` hears of a download.

    Raises:
        ModelUnavailable: with a sentence that says why and what to do.
    """
    if entry.source == "":
        return random_tiny.build().to(device, dtype)
    try:
        pipe = _from_folder(_folder(entry, cache_dir, report), dtype)
        pipe.scheduler = new_scheduler(pipe.scheduler, entry.scheduler)
        return pipe.to(device)
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
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise ModelUnavailable(
            f"{entry.name} does not fit the memory of {device.type}: close what else uses it, "
            "or choose a smaller MODEL."
        ) from error
    except ValueError as error:
        raise ModelUnavailable(
            f"{entry.source} is not a pipeline that can redraw pictures: {_first_line(error)}"
        ) from error


def _os_error(entry: ModelEntry, error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return (
            f"The disk is full: {entry.name} needs room to be downloaded. Free some, start again."
        )
    if "Unable to load weights" in str(error):
        return f"{entry.source} has a damaged weights file: fetch it again."
    if "safetensors" in str(error):
        return f"{entry.source} has no safetensors weights, and nothing else is loaded."
    return f"{entry.source} cannot be loaded: {_first_line(error)}"


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _from_folder(folder: str, dtype: torch.dtype) -> Any:
    options: dict[str, Any] = {"dtype": dtype, "use_safetensors": True}
    index = DiffusionPipeline.load_config(folder)
    if index.get("_class_name") != StableDiffusionDepth2ImgPipeline.__name__:
        return AutoPipelineForImage2Image.from_pretrained(folder, **options)
    # Repositories of that time name DPTFeatureExtractor, which transformers 5 no longer has, and
    # the library looks it up even if another is passed: it is left out, and put in afterwards.
    pipe = StableDiffusionDepth2ImgPipeline.from_pretrained(
        folder, feature_extractor=None, **options
    )
    preparer = DPTImageProcessor.from_pretrained(folder, subfolder="feature_extractor")
    pipe.register_modules(feature_extractor=preparer)
    return pipe


def _folder(entry: ModelEntry, cache_dir: Path, report: Callable[[Loading], None]) -> str:
    """Where the entry's files are on this machine, downloaded if they were not yet."""
    if Path(entry.source).is_dir():
        return entry.source
    path = cache_dir / REVISIONS
    known: dict[str, str] = json.loads(path.read_text()) if path.is_file() else {}
    if entry.source in known:
        try:
            return _download(entry, known[entry.source], local_files_only=True)
        except OSError:
            log.info("%s is no longer in the hub's cache on this machine", entry.source)
    revision = known.get(entry.source) or str(HfApi().model_info(entry.source).sha)
    report(Loading(f"downloading {entry.source}"))
    log.info("downloading %s (licence: %s)", entry.source, entry.licence)
    folder = _download(entry, revision)
    report(Loading("loading the model"))
    known[entry.source] = revision
    cache_dir.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(known, indent=2))
    part.replace(path)
    return folder


def _download(entry: ModelEntry, revision: str, **options: Any) -> str:
    folder = DiffusionPipeline.download(
        entry.source, revision=revision, use_safetensors=True, **options
    )
    return str(folder)
