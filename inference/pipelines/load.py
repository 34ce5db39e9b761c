"""Loads the pipeline of a catalogue entry. Runs in the worker process only.

Only safetensors files are loaded, and no code from a repository. The commit that a repository had
at the first download is stored in the cache folder and used from then on.
"""

from __future__ import annotations

import errno
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoPipelineForImage2Image,
    DiffusionPipeline,
    StableDiffusionDepth2ImgPipeline,
)
from huggingface_hub import errors, hf_hub_download
from transformers import DPTImageProcessor

from inference.errors import (
    DiskFull,
    HubUnreachable,
    InvalidModel,
    ModelGated,
    ModelNotOnHub,
    ModelTooLarge,
    ModelUnavailable,
)
from inference.models import ModelEntry
from inference.pipelines import random_tiny
from inference.pipelines.devices import is_out_of_memory
from inference.pipelines.schedulers import new_scheduler
from inference.worker.messages import Loading

log = logging.getLogger(__name__)

REVISIONS = "revisions.json"
MODEL_INDEX = "model_index.json"


def load_pipeline(
    entry: ModelEntry,
    device: torch.device,
    dtype: torch.dtype,
    cache_dir: Path,
    report: Callable[[Loading], None],
) -> Any:
    """The entry's pipeline, on the device. `report` is called when a new phase begins.

    Raises:
        ModelUnavailable: one of its subclasses.
    """
    if entry.source == "":
        return random_tiny.build().to(device, dtype)
    try:
        pipe = _from_folder(_folder(entry, cache_dir, report), dtype)
        pipe.scheduler = new_scheduler(pipe.scheduler, entry.scheduler)
        return pipe.to(device)
    except errors.GatedRepoError as error:
        raise ModelGated(
            f"{entry.source} is gated: its terms must be accepted on its page, and an access "
            "token is needed."
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise ModelNotOnHub(
            f"The model hub has no repository {entry.source}, or it is private."
        ) from error
    except errors.LocalEntryNotFoundError as error:
        raise HubUnreachable(
            f"{entry.source} has not been downloaded yet, and the model hub cannot be reached."
        ) from error
    except OSError as error:
        raise _os_error(entry, error) from error
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise ModelTooLarge(
            f"{entry.name} does not fit the free memory of the device {device.type}."
        ) from error
    except ValueError as error:
        raise InvalidModel(
            f"{entry.source} is not an image-to-image pipeline: {_first_line(error)}"
        ) from error


def _os_error(entry: ModelEntry, error: OSError) -> ModelUnavailable:
    if error.errno == errno.ENOSPC:
        return DiskFull(f"The disk is full: there is no room to download {entry.name}.")
    if "Unable to load weights" in str(error):
        return InvalidModel(f"{entry.source} has a damaged weights file.")
    if "safetensors" in str(error):
        return InvalidModel(f"{entry.source} has no safetensors weights; others are not loaded.")
    return InvalidModel(f"{entry.source} cannot be loaded: {_first_line(error)}")


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _from_folder(folder: str, dtype: torch.dtype) -> Any:
    options: dict[str, Any] = {"dtype": dtype, "use_safetensors": True}
    index = DiffusionPipeline.load_config(folder)
    if index.get("_class_name") != StableDiffusionDepth2ImgPipeline.__name__:
        return AutoPipelineForImage2Image.from_pretrained(folder, **options)
    # Old repositories name DPTFeatureExtractor, which transformers 5 does not have. diffusers looks
    # the class up even if another object is passed, so the component is loaded afterwards.
    pipe = StableDiffusionDepth2ImgPipeline.from_pretrained(
        folder, feature_extractor=None, **options
    )
    feature_extractor = DPTImageProcessor.from_pretrained(folder, subfolder="feature_extractor")
    pipe.register_modules(feature_extractor=feature_extractor)
    return pipe


def _folder(entry: ModelEntry, cache_dir: Path, report: Callable[[Loading], None]) -> str:
    """The local folder with the entry's files, which are downloaded if necessary."""
    if Path(entry.source).is_dir():
        return entry.source
    path = cache_dir / REVISIONS
    revisions: dict[str, str] = json.loads(path.read_text()) if path.is_file() else {}
    if entry.source in revisions:
        try:
            return _download(entry, revisions[entry.source], local_files_only=True)
        except OSError:
            log.info("%s is no longer in the hub's local cache", entry.source)
    revision = revisions.get(entry.source) or _current_commit(entry.source)
    report(Loading(f"downloading {entry.source}"))
    log.info("downloading %s (licence: %s)", entry.source, entry.licence)
    folder = _download(entry, revision)
    report(Loading("loading the model"))
    revisions[entry.source] = revision
    cache_dir.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(revisions, indent=2))
    part.replace(path)
    return folder


def _current_commit(repository: str) -> str:
    # Files of a snapshot lie in a folder that has the commit's name.
    return Path(hf_hub_download(repository, MODEL_INDEX)).parent.name


def _download(entry: ModelEntry, revision: str, **options: Any) -> str:
    folder = DiffusionPipeline.download(
        entry.source, revision=revision, use_safetensors=True, **options
    )
    return str(folder)
