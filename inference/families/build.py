"""The worker's factory: loads a model and builds the engine that fits its pipeline."""

from __future__ import annotations

import logging
import os
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from diffusers.utils import logging as diffusers_logging
from transformers.utils import logging as transformers_logging

from inference.downloads import find_local_model
from inference.engine.cuda_graphs import CALLS_BEFORE_CAPTURE
from inference.engine.cuda_graphs import ROWS as GRAPH_ROWS
from inference.engine.device_time import CudaClock, HostClock
from inference.engine.loop import SteppedEngine
from inference.engine.policy import BatchPolicy
from inference.errors import FullPrecisionMissing, InvalidModel
from inference.families.registry import DeviceModel, build_model
from inference.families.whole_call import WholeCallEngine
from inference.pipelines.devices import (
    choose_device,
    choose_dtype,
    cpu_count,
    free_memory,
    is_out_of_memory,
    release_memory,
    weights_on,
)
from inference.pipelines.load import load_depth, load_pipeline, memory_errors
from inference.types import ImageRequest
from inference.worker.messages import Event, Loading, ModelEngine, Ready, WorkerConfig

log = logging.getLogger(__name__)

MEMORY_SHARE = 0.7
"""Share of the free memory for the UNet's rows; the rest is for decoding and fragmentation."""

MAX_ROWS = 32

REQUESTS_PER_ROW = 4
"""Running requests for each row of a call: enough to fill the calls of several sizes in turn. A
request that runs takes about 3 MB at 512 × 512, a row of a call 100 times as much."""

WARM_UP_ROWS = (*GRAPH_ROWS, 16, 24, 32)

WARM_UP_SECONDS = 10.0
"""The time after which the warm-up begins no further shape: enough for 1 to 6 rows of five sizes at
0.5 s for each first call (docs/benchmarks.md). With several models it is part of each loading, and
the switching policy makes requests wait for a multiple of that time."""

GRAPH_MIN_ROWS = 16
"""CUDA graphs keep memory of their own; they are used if the device has room for so many rows."""

ADMISSIONS = 4
"""Requests prepared together on a GPU; a CPU gains nothing from a batch of pictures."""


def build_engine(
    config: WorkerConfig, report: Callable[[Event | Loading], None]
) -> tuple[ModelEngine, Ready]:
    """Load the model, warm it up and measure how many rows fit its device.

    Raises:
        ModelUnavailable: with a sentence that says why and what to do.
    """
    _silence_libraries()
    device = choose_device(config.device)
    if device.type == "cpu":
        _use_all_cores()
    wanted = choose_dtype(config.dtype, device)
    if config.dtype == "auto" and wanted == torch.float16:
        wanted = getattr(torch, config.entry.half_precision)
    # The check of the values, the measurements and the preview's fit need memory, too.
    with memory_errors(config.entry, device):
        return _build_in_first_valid(config, device, wanted, report)


def _build_in_first_valid(
    config: WorkerConfig,
    device: torch.device,
    wanted: torch.dtype,
    report: Callable[[Event | Loading], None],
) -> tuple[ModelEngine, Ready]:
    """The engine in the first precision, from `wanted` on, that gives finite values."""
    for dtype in _precisions(wanted):
        if dtype != wanted:
            name = _name(dtype)
            if dtype == torch.float32 and not config.fallback_download:
                _check_full_precision(config)
            log.warning("%s gives invalid values here: using %s", _name(wanted), name)
            report(Loading(f"loading the model in {name}"))
        built = _build(config, device, dtype, report)
        if built is not None:
            return built
        # Two models may not fit the device.
        release_memory()
    raise InvalidModel(f"{config.entry.name} gives invalid values, in every precision.")


def _check_full_precision(config: WorkerConfig) -> None:
    entry = config.entry
    if entry.source and find_local_model(entry, config.cache_dir, half=False) is None:
        raise FullPrecisionMissing(
            f"{entry.name} gives invalid values in half precision, and its files in full precision "
            "have not been downloaded."
        )


def _build(
    config: WorkerConfig,
    device: torch.device,
    dtype: torch.dtype,
    report: Callable[[Event | Loading], None],
) -> tuple[ModelEngine, Ready] | None:
    """The engine in that precision; None if the model gives values that are not finite.

    No reference to the model is left in the second case.
    """
    pipe = load_pipeline(config.entry, device, dtype, config.cache_dir, report)
    pipe.set_progress_bar_config(disable=True)
    depth = load_depth(config.entry, device, dtype, config.cache_dir)
    parts = [*pipe.components.values(), *([depth.model] if depth else [])]
    weights = weights_on(device, parts)
    if device.type == "cuda":
        _use_channels_last(pipe)
    model = build_model(pipe, depth)
    if model is None:
        ready = Ready(slots=1, device=device.type, dtype=_name(dtype), weights=weights)
        return WholeCallEngine(pipe, report), ready
    if not gives_finite_values(model, config.entry.pixels):
        return None
    engine, ready = _stepped_engine(config, model, report)
    return engine, replace(ready, weights=weights)


def _precisions(wanted: torch.dtype) -> Sequence[torch.dtype]:
    """The wanted precision and those to try after it: some GPUs, such as the GTX 16 series, compute
    NaN in float16."""
    order = (torch.float16, torch.bfloat16, torch.float32)
    return order[order.index(wanted) :]


def _use_channels_last(pipe: Any) -> None:
    """Convolutions are faster in this memory format on NVIDIA GPUs."""
    for name in ("unet", "controlnet", "vae"):
        if (component := getattr(pipe, name, None)) is not None:
            component.to(memory_format=torch.channels_last)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _stepped_engine(
    config: WorkerConfig, model: DeviceModel[Any], report: Callable[[Event | Loading], None]
) -> tuple[ModelEngine, Ready]:
    entry, cuda = config.entry, model.device.type == "cuda"
    if config.batch_rows:
        rows = requests = config.batch_rows
    elif cuda:
        rows = _measure_rows(model, entry.pixels)
        requests = REQUESTS_PER_ROW * rows
    else:
        requests = entry.cpu_requests
        rows = 2 * requests
    if cuda:
        report(Loading("warming up"))
        graphs = rows >= GRAPH_MIN_ROWS and model.use_cuda_graphs()
        _warm_up_sizes(model, entry.sizes, rows, graphs=graphs)
    policy = BatchPolicy(
        row_limit=rows, request_limit=requests, admission_limit=ADMISSIONS if cuda else 1
    )
    ready = Ready(slots=requests, device=model.device.type, dtype=_name(model.dtype))
    clock = CudaClock() if cuda else HostClock()
    measured = model.row_tokens(_noise_request(entry.pixels, 0))
    return SteppedEngine(model, report, policy, clock=clock, row_tokens=measured), ready


def _silence_libraries() -> None:
    """Keep developer warnings and progress bars out of the operator's log."""
    warnings.simplefilter("ignore")
    diffusers_logging.set_verbosity_error()
    for library in (diffusers_logging, transformers_logging):
        library.disable_progress_bar()


def _use_all_cores() -> None:
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(cpu_count())


def _prepare(model: DeviceModel[Any], pixels: int, requests: int) -> list[Any]:
    inputs = [model.load_inputs(_noise_request(pixels, number)) for number in range(requests)]
    return list(model.prepare(inputs))


@torch.no_grad()
def gives_finite_values(model: DeviceModel[Any], pixels: int) -> bool:
    """Whether the latents and the decoded picture of a short request are finite."""
    (one,) = _prepare(model, pixels, 1)
    while one.step < one.total_steps:
        model.predict([one])
    return model.is_finite(one)


def _warm_up_sizes(
    model: DeviceModel[Any],
    sizes: Sequence[tuple[int, int]],
    rows: int,
    *,
    graphs: bool = False,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Use the usual shapes, so that no request waits for its first call, which takes about 0.5 s
    (docs/benchmarks.md), and capture the CUDA graphs. The fewest rows and the first size come
    first; what is left after `WARM_UP_SECONDS` is left out. So are shapes for which there is no
    memory: the engine itself can run out of memory without harm."""
    counts = sorted({min(rows, count) for count in WARM_UP_ROWS})
    end = clock() + WARM_UP_SECONDS
    for count in counts:
        for width, height in sizes:
            if clock() >= end:
                log.info("the warm-up ended before %d rows of %d × %d", count, width, height)
                return
            captured = graphs and count <= GRAPH_ROWS[-1]
            try:
                for _ in range(CALLS_BEFORE_CAPTURE + 1 if captured else 1):
                    model.warm_up(_blank_request(width, height), count)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                log.warning("no memory to warm up %d rows of %d × %d", count, width, height)
                free_memory()


def _blank_request(width: int, height: int) -> ImageRequest:
    """A request with a black picture, without guidance."""
    return ImageRequest(
        id="warm-up",
        pixels=bytes(width * height * 3),
        width=width,
        height=height,
        prompt="",
        strength=1.0,
        steps=2,
        guidance_scale=1.0,
        seed=0,
    )


def _noise_request(pixels: int, number: int) -> ImageRequest:
    """A request with guidance whose picture is in no cache."""
    side = int(pixels**0.5) // 64 * 64
    return replace(
        _blank_request(side, side),
        id=f"warm-up {number}",
        pixels=os.urandom(side * side * 3),
        prompt="warm up",
        guidance_scale=2.0,
        seed=number,
    )


def _measure_rows(model: DeviceModel[Any], pixels: int) -> int:
    """How many rows fit a GPU, from the memory peaks of calls for one and for two requests."""
    request_rows = model.rows(_noise_request(pixels, 0))
    peaks = []
    for requests in (1, 2):
        batch = _prepare(model, pixels, requests)
        torch.cuda.reset_peak_memory_stats()
        model.predict(batch)
        peaks.append(torch.cuda.max_memory_allocated())
        for one in batch:
            model.decode(one)
    row_bytes = max(1, (peaks[1] - peaks[0]) // request_rows)
    torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info()
    return int(max(2, min(MAX_ROWS, MEMORY_SHARE * free // row_bytes)))
