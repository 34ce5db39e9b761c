"""The registry of model families: which class steps the requests of a pipeline."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from diffusers import (
    Flux2KleinPipeline,
    StableDiffusionControlNetImg2ImgPipeline,
    StableDiffusionDepth2ImgPipeline,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionXLControlNetUnionImg2ImgPipeline,
    StableDiffusionXLImg2ImgPipeline,
)

from inference.engine.protocols import RunningT, StepModel
from inference.families.depth2img import Depth2ImgModel
from inference.families.flux2_klein import Flux2KleinModel
from inference.families.sd import StableDiffusionModel
from inference.families.sdxl import StableDiffusionXLModel
from inference.pipelines.depth import DepthEstimator
from inference.types import ImageRequest


class DeviceModel(StepModel[Any, RunningT], Protocol[RunningT]):
    """A loaded model that the worker can measure and warm up."""

    device: torch.device
    dtype: torch.dtype

    def is_finite(self, running: RunningT) -> bool:
        """Whether a finished request's latents and its decoded picture are finite."""
        ...

    def warm_up(self, request: ImageRequest, rows: int) -> None:
        """Call the denoiser once for so many rows of such requests."""
        ...

    def use_cuda_graphs(self) -> bool:
        """Replay small denoiser calls as CUDA graphs from now on; false if the family cannot."""
        ...


@dataclass(frozen=True, slots=True)
class Family:
    """A model family: its pipelines, and how a model is built of one of them.

    `supports` tells whether the components of such a pipeline are those that the family knows.
    """

    pipelines: tuple[type[Any], ...]
    build: Callable[[Any, DepthEstimator | None], DeviceModel[Any]]
    supports: Callable[[Any], bool] = lambda pipe: True


FAMILIES: dict[str, Family] = {
    "depth2img": Family(
        (StableDiffusionDepth2ImgPipeline,), lambda pipe, depth: Depth2ImgModel(pipe)
    ),
    "flux2_klein": Family((Flux2KleinPipeline,), lambda pipe, depth: Flux2KleinModel(pipe)),
    "sd": Family(
        (StableDiffusionImg2ImgPipeline, StableDiffusionControlNetImg2ImgPipeline),
        StableDiffusionModel,
        StableDiffusionModel.supports,
    ),
    "sdxl": Family(
        (StableDiffusionXLImg2ImgPipeline, StableDiffusionXLControlNetUnionImg2ImgPipeline),
        StableDiffusionXLModel,
        StableDiffusionXLModel.supports,
    ),
}


def build_model(pipe: Any, depth: DepthEstimator | None = None) -> DeviceModel[Any] | None:
    """The model that steps requests of this pipeline; None if no family does.

    `depth` is the estimator for pipelines that do not have one of their own.
    """
    for family in FAMILIES.values():
        if isinstance(pipe, family.pipelines) and family.supports(pipe):
            return family.build(pipe, depth)
    return None
