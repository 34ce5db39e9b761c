"""The settings that save GPU memory. Skipped where there is no GPU."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from inference.families.depth2img import Depth2ImgModel
from inference.pipelines import random_sd2, random_tiny
from inference.pipelines.low_memory import place
from tests.support.engines import LIBRARY_WARNINGS, picture_of
from tests.support.requests import request

pytestmark = [
    LIBRARY_WARNINGS,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

CUDA = torch.device("cuda")


def test_an_offloaded_pipeline_gives_the_same_picture() -> None:
    pictures = []
    for low_memory in (False, True):
        pipe: Any = place(random_tiny.build().to(torch.float16), CUDA, low_memory=low_memory)
        # The tiny VAE's tiles are smaller than the picture.
        pipe.vae.enable_tiling()
        pictures.append(picture_of(Depth2ImgModel(pipe), request()))
    assert abs(pictures[0] - pictures[1]).max() <= 1
    assert pipe.unet.device.type == "cuda"
    assert pipe.text_encoder.device.type == pipe.depth_estimator.device.type == "cpu"


def test_the_full_size_model_needs_less_memory_with_offloading() -> None:
    pipe: Any = random_sd2.build(CUDA, torch.float16)
    peaks = {}
    for low_memory in (False, True):
        pipe = place(pipe.to("cpu"), CUDA, low_memory=low_memory)
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        picture_of(Depth2ImgModel(pipe), request(width=512, height=512, steps=4))
        peaks[low_memory] = torch.cuda.max_memory_allocated() / 2**30
    print(f"peak GiB: {peaks}")
    # The text encoder and the depth estimator have 0.86 GiB of weights.
    assert peaks[True] < peaks[False] - 0.5
