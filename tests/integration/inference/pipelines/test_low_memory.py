"""When and how a pipeline saves device memory."""

from __future__ import annotations

import dataclasses
import logging
from typing import Any

import pytest
import torch
from accelerate.hooks import UserCpuOffloadHook

from inference import MemoryNeeds, ModelTooLarge
from inference.families.depth2img import Depth2ImgModel
from inference.model_entry import ModelEntry
from inference.models import MODELS
from inference.pipelines import low_memory, random_tiny
from inference.pipelines.low_memory import place, saves_memory
from tests.support import tiny_models
from tests.support.engines import LIBRARY_WARNINGS, picture_of
from tests.support.requests import request

pytestmark = LIBRARY_WARNINGS

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
ENTRY: ModelEntry = dataclasses.replace(
    MODELS["noise"], memory=MemoryNeeds(gpu=5.0, gpu_low=3.5, cpu=7.0, cpu_half=4.0)
)


@pytest.mark.parametrize(
    ("device", "dtype", "free", "saving"),
    [
        (CUDA, torch.float16, 5.1, False),
        (CUDA, torch.float16, 4.9, True),
        (CUDA, torch.float32, 9.9, True),
        (CUDA, torch.float32, 10.1, False),
        (CPU, torch.float32, 7.1, False),
        (CPU, torch.bfloat16, 4.1, False),
    ],
)
def test_the_free_memory_decides(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    device: torch.device,
    dtype: torch.dtype,
    free: float,
    *,
    saving: bool,
) -> None:
    monkeypatch.setattr(low_memory, "available_memory", lambda _: int(free * 2**30))
    assert saves_memory(ENTRY, device, dtype) is saving
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * saving


@pytest.mark.parametrize(
    ("device", "dtype", "free"),
    [(CUDA, torch.float16, 3.4), (CPU, torch.float32, 6.9), (CPU, torch.bfloat16, 3.9)],
)
def test_too_little_memory_is_an_error_before_the_model_is_loaded(
    monkeypatch: pytest.MonkeyPatch, device: torch.device, dtype: torch.dtype, free: float
) -> None:
    monkeypatch.setattr(low_memory, "available_memory", lambda _: int(free * 2**30))
    with pytest.raises(ModelTooLarge, match=rf"needs .* GiB .* {free:.1f} GiB are free"):
        saves_memory(ENTRY, device, dtype)


def test_a_model_of_unknown_need_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(low_memory, "available_memory", lambda _: 0)
    assert saves_memory(MODELS["noise"], CUDA, torch.float16) is False


def test_the_device_of_an_offloaded_pipeline_is_that_of_its_denoiser() -> None:
    """`meta` stands for a GPU: components that are offloaded stay on the CPU."""
    meta = torch.device("meta")
    pipe: Any = place(random_tiny.build(), meta, low_memory=True)
    assert pipe.device == pipe.unet.device == pipe._execution_device == meta
    assert pipe.vae.device == pipe.text_encoder.device == CPU


def test_an_offloaded_pipeline_gives_the_same_picture() -> None:
    """With the CPU as the device: accelerate's hooks run, but nothing has to be moved."""
    wanted = request(width=128, height=64, return_depth=True, preview=True)
    tiled: Any = random_tiny.build()
    # The tiny VAE's tiles are smaller than the picture.
    tiled.vae.enable_tiling()
    plain = picture_of(Depth2ImgModel(tiled), wanted)
    pipe: Any = place(random_tiny.build(), CPU, low_memory=True)
    assert (picture_of(Depth2ImgModel(pipe), wanted) == plain).all()
    hooked = {
        name
        for name, component in pipe.components.items()
        if getattr(component, "_hf_hook", None) is not None
    }
    assert hooked == {"vae", "text_encoder", "depth_estimator"}
    assert pipe.vae.use_slicing
    assert pipe.vae.use_tiling
    assert isinstance(pipe, type(random_tiny.build()))


def test_a_component_leaves_the_device_after_its_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last component of the pipeline, too: the VAE's next call moves it back."""
    meta = torch.device("meta")
    monkeypatch.setattr(UserCpuOffloadHook, "offload", lambda hook: hook.model.to_empty(device=CPU))
    pipe: Any = place(random_tiny.build(), meta, low_memory=True)
    encoders = ("vae", "text_encoder", "depth_estimator")
    on_device = []
    for called in ("text_encoder", "vae", "depth_estimator", "vae", "text_encoder"):
        component = pipe.components[called]
        component._hf_hook.pre_forward(component)
        on_device.append({name for name in encoders if pipe.components[name].device == meta})
    assert on_device[-2:] == [{"vae"}, {"text_encoder"}]
    assert all(len(names) <= 2 for names in on_device)


def test_a_controlnet_stays_on_the_device_of_the_denoiser() -> None:
    meta = torch.device("meta")
    pipe: Any = place(tiny_models.stable_diffusion(control=True), meta, low_memory=True)
    assert pipe.device == pipe.unet.device == pipe.controlnet.device == meta
    assert pipe.vae.device == pipe.text_encoder.device == CPU
