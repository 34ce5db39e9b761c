"""Loads the pipeline of a catalogue entry. Runs in the worker process only.

Only safetensors files are loaded, and no code from a repository.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderTiny,
    AutoPipelineForImage2Image,
    AutoPipelineForText2Image,
    ControlNetModel,
    ControlNetUnionModel,
    DiffusionPipeline,
    Flux2KleinPipeline,
    StableDiffusionDepth2ImgPipeline,
)
from transformers import DPTImageProcessor

from inference.downloads import LocalModel, download_model
from inference.errors import InvalidModel, ModelTooLarge
from inference.model_entry import ExtraRepository, ModelEntry
from inference.pipeline_files import HALF_VARIANT
from inference.pipeline_tasks import pipeline_classes
from inference.pipelines import random_klein, random_tiny
from inference.pipelines.depth import DepthEstimator, load_depth_estimator
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
    files = _files(entry, dtype, cache_dir, report)
    report(Loading("loading the model"))
    with _load_errors(entry, device):
        pipe = _from_folder(files.folder, dtype, _replaced_components(entry, files, dtype))
        if entry.lora is not None:
            _merge_lora(pipe, entry.lora, files.folders[entry.lora.source])
        pipe.scheduler = new_scheduler(pipe.scheduler, entry.scheduler)
        return place(pipe, device, low_memory=low_memory)


def load_depth(
    entry: ModelEntry, device: torch.device, dtype: torch.dtype, cache_dir: Path
) -> DepthEstimator | None:
    """The entry's own depth estimator, if it has one, after `load_pipeline`.

    Raises:
        ModelUnavailable: one of its subclasses.
    """
    if entry.depth is None:
        return None
    files = _files(entry, dtype, cache_dir, lambda _: None)
    with _load_errors(entry, device):
        return load_depth_estimator(files.folders[entry.depth.source], device)


@contextmanager
def memory_errors(entry: ModelEntry, device: torch.device) -> Iterator[None]:
    """Raise `ModelTooLarge` if the block runs out of the device's memory."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise ModelTooLarge(
            f"{entry.name} does not fit the free memory of the device {device.type}."
        ) from error


@contextmanager
def _load_errors(entry: ModelEntry, device: torch.device) -> Iterator[None]:
    try:
        with memory_errors(entry, device):
            yield
    except OSError as error:
        raise _invalid(entry, error) from error
    except ValueError as error:
        raise InvalidModel(
            f"{entry.source} is not a pipeline that redraws or draws: {_first_line(error)}"
        ) from error


def _invalid(entry: ModelEntry, error: OSError) -> InvalidModel:
    if "Unable to load weights" in str(error):
        return InvalidModel(f"{entry.source} has a damaged weights file.")
    if "safetensors" in str(error):
        return InvalidModel(f"{entry.source} has no safetensors weights; others are not loaded.")
    return InvalidModel(f"{entry.source} cannot be loaded: {_first_line(error)}")


def _files(
    entry: ModelEntry, dtype: torch.dtype, cache_dir: Path, report: Callable[[Loading], None]
) -> LocalModel:
    def report_download(source: str, progress: DownloadProgress) -> None:
        report(Loading(f"downloading {source}", progress))

    return download_model(entry, cache_dir, half=dtype != torch.float32, report=report_download)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _weights_options(folder: Path, dtype: torch.dtype, pattern: str) -> dict[str, Any]:
    """Options of `from_pretrained`; `pattern` is where the weights are in the folder."""
    options: dict[str, Any] = {"dtype": dtype, "use_safetensors": True}
    if dtype != torch.float32 and any(folder.glob(pattern.format(f".{HALF_VARIANT}"))):
        options["variant"] = HALF_VARIANT
    return options


def _replaced_components(
    entry: ModelEntry, files: LocalModel, dtype: torch.dtype
) -> dict[str, Any]:
    """The components that come from the entry's further repositories."""
    control = ControlNetUnionModel if entry.family == "sdxl" else ControlNetModel
    parts = {
        "controlnet": (entry.control, control),
        "vae": (entry.tiny_vae, AutoencoderTiny) if entry.tiny_vae else (entry.vae, AutoencoderKL),
    }
    components = {}
    for name, (repository, kind) in parts.items():
        if repository is not None:
            folder = files.folders[repository.source]
            options = _weights_options(folder, dtype, "*{}*.safetensors")
            components[name] = kind.from_pretrained(folder, **options)
    return components


def _merge_lora(pipe: Any, lora: ExtraRepository, folder: Path) -> None:
    """Add the LoRA to the weights, so that it costs nothing in a call."""
    (name,) = lora.files
    pipe.load_lora_weights(folder, weight_name=name)
    pipe.fuse_lora()
    pipe.unload_lora_weights()


def _from_folder(folder: Path, dtype: torch.dtype, components: dict[str, Any]) -> Any:
    options = _weights_options(folder, dtype, "*/*{}*.safetensors") | components
    index = DiffusionPipeline.load_config(folder)
    if index.get("_class_name") == Flux2KleinPipeline.__name__:
        return Flux2KleinPipeline.from_pretrained(folder, **options)
    if "safety_checker" in index:
        options |= {"safety_checker": None, "requires_safety_checker": False}
    if index.get("_class_name") != StableDiffusionDepth2ImgPipeline.__name__:
        tasks = pipeline_classes().get(str(index.get("_class_name")), {})
        only_text = bool(tasks) and set(tasks) == {"text2img"}
        kind = AutoPipelineForText2Image if only_text else AutoPipelineForImage2Image
        return kind.from_pretrained(folder, **options)
    # Old repositories name DPTFeatureExtractor, which transformers 5 does not have. diffusers looks
    # the class up even if another object is passed, so the component is loaded afterwards.
    pipe = StableDiffusionDepth2ImgPipeline.from_pretrained(
        folder, feature_extractor=None, **options
    )
    feature_extractor = DPTImageProcessor.from_pretrained(folder, subfolder="feature_extractor")
    pipe.register_modules(feature_extractor=feature_extractor)
    return pipe
