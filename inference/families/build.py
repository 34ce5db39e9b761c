"""The worker's factory: loads a model and builds the engine that fits its pipeline."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable

import torch
from diffusers import StableDiffusionDepth2ImgPipeline
from diffusers.utils import logging as diffusers_logging
from transformers.utils import logging as transformers_logging

from inference.engine.loop import SteppedEngine
from inference.engine.policy import BatchPolicy
from inference.families.depth2img import Denoising, Depth2ImgModel
from inference.families.whole_call import WholeCallEngine
from inference.pipelines.compile import compile_unet
from inference.pipelines.devices import choose_device, choose_dtype, cpu_count
from inference.pipelines.load import load_pipeline
from inference.types import Img2ImgRequest
from inference.worker.messages import Engine, Event, Loading, Ready, WorkerConfig

MEMORY_SHARE = 0.7
"""Share of the free memory for the UNet's rows; the rest is for decoding and fragmentation."""

MAX_ROWS = 32

REQUESTS_PER_ROW = 4
"""Running requests for each row of a call: enough to fill the calls of several sizes in turn. A
request that runs takes about 3 MB at 512 × 512, a row of a call 100 times as much."""

ADMISSIONS = 4
"""Requests prepared together on a GPU; a CPU gains nothing from a batch of pictures."""


def build_engine(
    config: WorkerConfig, report: Callable[[Event | Loading], None]
) -> tuple[Engine, Ready]:
    """Load the model, warm it up and measure how many rows fit its device.

    Raises:
        ModelUnavailable: with a sentence that says why and what to do.
    """
    _silence_libraries()
    device = choose_device(config.device)
    if device.type == "cpu":
        _use_all_cores()
    dtype = choose_dtype(config.dtype, device)
    pipe = load_pipeline(config.entry, device, dtype, config.cache_dir, report)
    pipe.set_progress_bar_config(disable=True)
    names = {"device": device.type, "dtype": str(dtype).removeprefix("torch.")}
    if not isinstance(pipe, StableDiffusionDepth2ImgPipeline):
        return WholeCallEngine(pipe, report), Ready(slots=1, **names)
    if device.type == "cuda":
        pipe.unet.to(memory_format=torch.channels_last)
        pipe.vae.to(memory_format=torch.channels_last)
    model = Depth2ImgModel(pipe)
    _warm_up(model, config.entry.pixels)
    if config.batch_rows:
        rows = requests = config.batch_rows
    elif device.type == "cuda":
        rows = _measure_rows(model, config.entry.pixels)
        requests = REQUESTS_PER_ROW * rows
    else:
        requests = config.entry.cpu_requests
        rows = 2 * requests
    if device.type == "cuda":
        report(Loading("compiling the model"))
        compile_unet(pipe, config.entry.pixels)
    policy = BatchPolicy(
        row_limit=rows,
        request_limit=requests,
        admission_limit=ADMISSIONS if device.type == "cuda" else 1,
    )
    return SteppedEngine(model, report, policy), Ready(slots=requests, **names)


def _silence_libraries() -> None:
    """Keep developer warnings and progress bars out of the operator's log."""
    warnings.simplefilter("ignore")
    diffusers_logging.set_verbosity_error()
    for library in (diffusers_logging, transformers_logging):
        library.disable_progress_bar()


def _use_all_cores() -> None:
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(cpu_count())


def _prepare(model: Depth2ImgModel, pixels: int, requests: int) -> list[Denoising]:
    return model.prepare(
        [model.load_inputs(_warm_up_request(pixels, number)) for number in range(requests)]
    )


def _warm_up(model: Depth2ImgModel, pixels: int) -> None:
    model.predict(_prepare(model, pixels, 1))


def _warm_up_request(pixels: int, number: int) -> Img2ImgRequest:
    side = int(pixels**0.5) // 64 * 64
    return Img2ImgRequest(
        id=f"warm-up {number}",
        pixels=os.urandom(side * side * 3),
        width=side,
        height=side,
        prompt="warm up",
        strength=1.0,
        steps=2,
        guidance_scale=2.0,
        seed=number,
    )


def _measure_rows(model: Depth2ImgModel, pixels: int) -> int:
    """How many rows fit a GPU, from the memory peaks of calls with two and with four rows."""
    peaks = []
    for requests in (1, 2):
        batch = _prepare(model, pixels, requests)
        torch.cuda.reset_peak_memory_stats()
        model.predict(batch)
        peaks.append(torch.cuda.max_memory_allocated())
        for one in batch:
            model.decode(one)
    row_bytes = max(1, (peaks[1] - peaks[0]) // 2)
    torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info()
    return int(max(2, min(MAX_ROWS, MEMORY_SHARE * free // row_bytes)))
