"""Depth estimation: the relative depth maps that steer depth-to-image models and ControlNets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from PIL import Image
from transformers import AutoModelForDepthEstimation, DPTImageProcessor


class DepthEstimator:
    """A depth estimator of transformers with its image processor.

    It runs in float32 on every device: the batch normalisation of DPT is not made for half
    precision.
    """

    def __init__(self, model: Any, processor: Any) -> None:
        self.model = model.to(torch.float32)
        self.processor = processor

    def load_pixels(self, image: Image.Image) -> torch.Tensor:
        """The model's input for an RGB picture, (1, 3, h, w)."""
        pixels: torch.Tensor = self.processor(images=[image], return_tensors="pt").pixel_values
        return pixels

    def estimate(self, pixels: torch.Tensor) -> torch.Tensor:
        """The model's output for (N, 3, h, w) on its device: (N, 1, h', w'), near is bright."""
        depth: torch.Tensor = self.model(pixels.float()).predicted_depth
        return depth.unsqueeze(1)


def relative_depth(depth: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Depth maps (N, 1, h, w) as (N, 1, height, width) in -1..1, each over its own range.

    The arithmetic is that of `StableDiffusionDepth2ImgPipeline.prepare_depth_map`. A map without
    relief, whose normalisation would divide by zero, becomes zero.
    """
    depth = torch.nn.functional.interpolate(
        depth, size=(height, width), mode="bicubic", align_corners=False
    )
    low = torch.amin(depth, dim=(1, 2, 3), keepdim=True)
    high = torch.amax(depth, dim=(1, 2, 3), keepdim=True)
    normalised = 2.0 * (depth - low) / (high - low) - 1.0
    return torch.where(low == high, torch.zeros_like(depth), normalised)


def load_depth_estimator(folder: Path, device: torch.device) -> DepthEstimator:
    """The estimator in a folder that holds `config.json`, weights and `preprocessor_config.json`.

    Raises:
        OSError: a file is missing or damaged.
    """
    model = AutoModelForDepthEstimation.from_pretrained(folder, use_safetensors=True)
    processor = DPTImageProcessor.from_pretrained(folder)
    return DepthEstimator(model.to(device).eval(), processor)
