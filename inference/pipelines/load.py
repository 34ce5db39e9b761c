"""Loads the pipeline of a catalogue entry. Runs in the worker process only.

Only safetensors files are loaded, and no code from a repository.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoPipelineForImage2Image,
    DiffusionPipeline,
    Flux2KleinPipeline,
    StableDiffusionDepth2ImgPipeline,
)
from transformers import DPTImageProcessor

from inference.downloads import download_model
from inference.errors import InvalidModel, ModelTooLarge
from inference.model_entry import ModelEntry
from inference.pipeline_files import HALF_VARIANT
from inference.pipelines import random_klein, random_tiny
from inference.pipelines.devices import is_out_of_memory
from inference.pipelines.low_memory import place, saves_memory
from inference.pipelines.schedulers import new_scheduler
from inference.service import DownloadProgress
from inference.worker.messages import Loading

RANDOM: dict[str, Callable[[], Any]] = {
    "depth2img": random_tiny.build,
    "flux2_klein": random_klein.build,
}
"""What builds the pipeline of an entry without a source, by its family."""


def load_pipeline(
    entry: ModelEntry,
    device: torch.device,
    dtype: torch.dtype,
    cache_dir: Path,
    report: Callable[[Loading], None],
) -> Any:
    """The entry's pipeline, on the device. `report` is called when the loading makes progress.

    In half precision the variant fp16 of the weights is downloaded and loaded where it exists. If
    the device has too little free memory, the pipeline saves memory at the cost of speed; see
    `inference.pipelines.low_memory`.

    Raises:
        ModelUnavailable: one of its subclasses.
    """
    if entry.source == "":
        return RANDOM[entry.family]().to(device, dtype)
    low_memory = saves_memory(entry, device, dtype)
    folder = _folder(entry, dtype, cache_dir, report)
    report(Loading("loading the model"))
    try:
        pipe = _from_folder(folder, dtype)
        pipe.scheduler = new_scheduler(pipe.scheduler, entry.scheduler)
        return place(pipe, device, low_memory=low_memory)
    except OSError as error:
        raise _invalid(entry, error) from error
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


def _invalid(entry: ModelEntry, error: OSError) -> InvalidModel:
    if "Unable to load weights" in str(error):
        return InvalidModel(f"{entry.source} has a damaged weights file.")
    if "safetensors" in str(error):
        return InvalidModel(f"{entry.source} has no safetensors weights; others are not loaded.")
    return InvalidModel(f"{entry.source} cannot be loaded: {_first_line(error)}")


def _folder(
    entry: ModelEntry, dtype: torch.dtype, cache_dir: Path, report: Callable[[Loading], None]
) -> Path:
    if not entry.on_hub:
        return Path(entry.source)

    def report_download(progress: DownloadProgress) -> None:
        report(Loading(f"downloading {entry.source}", progress))

    return download_model(entry, cache_dir, half=dtype != torch.float32, report=report_download)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _from_folder(folder: Path, dtype: torch.dtype) -> Any:
    options: dict[str, Any] = {"dtype": dtype, "use_safetensors": True}
    if dtype != torch.float32 and any(folder.glob(f"*/*.{HALF_VARIANT}*.safetensors")):
        options["variant"] = HALF_VARIANT
    index = DiffusionPipeline.load_config(folder)
    if index.get("_class_name") == Flux2KleinPipeline.__name__:
        return Flux2KleinPipeline.from_pretrained(folder, **options)
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
