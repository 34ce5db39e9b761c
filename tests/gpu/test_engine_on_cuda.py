"""The engine on a real GPU in half precision. Skipped where there is none."""

from __future__ import annotations

import time
import warnings
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from torch._dynamo.utils import counters

from inference.engine.cuda_graphs import ROWS as GRAPH_ROWS
from inference.engine.cuda_graphs import CudaGraphs
from inference.engine.device_time import CudaClock
from inference.engine.transfers import PendingTransfer
from inference.families.build import build_engine
from inference.families.depth2img import Depth2ImgModel
from inference.models import find_model
from inference.pipelines import random_tiny
from inference.pipelines.compile import compile_unet
from inference.pipelines.load import load_pipeline
from inference.types import Scheduler
from inference.worker.messages import Submit, WorkerConfig
from tests.support.engines import (
    LIBRARY_WARNINGS,
    finish,
    mixed,
    new_engine,
    prepare,
    relative,
    run_alone,
    worst_of_a_batch,
)
from tests.support.requests import request

pytestmark = [
    LIBRARY_WARNINGS,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


def as_in_the_worker(pipe: Any) -> Depth2ImgModel:
    for part in (pipe.unet, pipe.vae):
        part.to(memory_format=torch.channels_last)
    return Depth2ImgModel(pipe)


@pytest.fixture
def model() -> Depth2ImgModel:
    return as_in_the_worker(random_tiny.build().to("cuda", torch.float16))


@pytest.mark.parametrize("name", ["tiny", "pocket"])
def test_in_half_precision_a_batched_picture_equals_the_picture_alone(
    name: str, tmp_path: Path
) -> None:
    """With random weights and with trained ones."""
    if name == "tiny":
        pipe: Any = random_tiny.build().to("cuda", torch.float16)
    else:
        device = torch.device("cuda")
        pipe = load_pipeline(find_model(name), device, torch.float16, tmp_path, print)
    wanted = mixed(16, sizes=((64, 64), (128, 64)))
    assert worst_of_a_batch(as_in_the_worker(pipe), wanted) >= 35


def test_a_seed_gives_the_same_noise_as_on_a_cpu(model: Depth2ImgModel) -> None:
    """In the same precision: random numbers of float16 differ from those of float32."""
    cpu_model = Depth2ImgModel(random_tiny.build().to(torch.float16))
    on_cpu = prepare(cpu_model, request(strength=1.0))
    on_gpu = prepare(model, request(strength=1.0))
    difference = (on_gpu.state.sample.float().cpu() - on_cpu.state.sample).abs().max()
    assert float(difference) < 0.05


@pytest.mark.parametrize("scheduler", [None, *get_args(Scheduler)])
def test_the_host_never_waits_between_prepare_and_decode(
    model: Depth2ImgModel, scheduler: Any
) -> None:
    def serve() -> list[PendingTransfer[Any]]:
        batch = [
            prepare(model, request(f"r{n}", seed=n, scheduler=scheduler, preview=True))
            for n in range(4)
        ]
        model.predict(batch)
        return [
            make(one)
            for one in batch
            for make in (model.preview, model.decode, model._depth_picture)
        ]

    serve()
    model.encoder.cache.clear()
    torch.cuda.set_sync_debug_mode("error")
    try:
        launched = serve()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert all(transfer.result() for transfer in launched)


def test_real_out_of_memory_lowers_the_limit_and_every_request_finishes(
    model: Depth2ImgModel,
) -> None:
    wanted = [request(f"r{n}", seed=n, width=512, height=512) for n in range(12)]
    # The memory of a call with two requests: a call with twelve exceeds it.
    pair = [prepare(model, one) for one in wanted[:2]]
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    model.predict(pair)
    used = torch.cuda.max_memory_reserved()
    del pair
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(1.3 * used / total)
    try:
        engine, recorder = new_engine(model, row_limit=24, admission_limit=4)
        for one in wanted:
            engine.post(Submit(one))
        finish(engine, recorder, [one.id for one in wanted], most_turns=5000)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert not recorder.failures
    assert engine.policy.row_limit < 24


@pytest.mark.parametrize("rows", [1, 3, 4, 7, 12, 13])
def test_cuda_graphs_give_the_same_latents(model: Depth2ImgModel, rows: int) -> None:
    """Also with padded rows, and again after other shapes have been captured."""
    wanted = [request(f"r{n}", seed=n, guidance_scale=1.0, steps=12) for n in range(rows)]

    def latents() -> torch.Tensor:
        batch = [prepare(model, one) for one in wanted]
        while not batch[0].finished:
            model.predict(batch)
        return torch.cat([one.state.sample for one in batch])

    eager = latents()
    model.use_cuda_graphs()
    assert model.graphs is not None
    for _ in range(2):
        assert relative(latents(), eager) <= 5e-2
        run_alone(model, request(width=128, guidance_scale=1.0, steps=12))
    # The single request in between is replayed in any case.
    assert model.graphs.replays > (20 if rows <= GRAPH_ROWS[-1] else 0)


def test_a_failed_capture_turns_graphs_off(model: Depth2ImgModel) -> None:
    def waits(inputs: torch.Tensor, *others: torch.Tensor) -> torch.Tensor:
        # A wait for the device cannot be captured.
        return inputs * float(inputs.float().sum().cpu() * 0 + 1)

    graphs = CudaGraphs(waits)
    values = torch.ones(2, 4, 8, 8, device="cuda")
    for _ in range(5):
        assert torch.equal(graphs(values), values)
    assert graphs.replays == 0
    # The device still works.
    run_alone(model, request())


def test_the_worker_s_engine_makes_the_same_picture_with_and_without_graphs() -> None:
    reported: list[Any] = []
    config = WorkerConfig(entry=find_model("noise"), device="cuda", dtype="float16")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        engine: Any
        engine, ready = build_engine(config, reported.append)
    model = engine.model
    assert ready.device == "cuda"
    assert model.graphs is not None
    wanted = request(width=128, height=128)
    with_graphs = run_alone(model, wanted)
    assert model.graphs.replays > 0
    model.graphs = None
    assert similar(model, with_graphs, run_alone(model, wanted))


def test_the_compiled_model_makes_the_same_picture(model: Depth2ImgModel) -> None:
    wanted = request(width=128, height=128)
    eager = run_alone(model, wanted)
    try:
        assert compile_unet(model.pipe, 64 * 64, resnets=False)
        assert counters["stats"]["unique_graphs"] > 0
        compiled = run_alone(model, wanted)
    finally:
        torch.compiler.set_stance("default")
    assert similar(model, compiled, eager)


@torch.no_grad()
def similar(model: Depth2ImgModel, *latents: torch.Tensor) -> bool:
    """Whether the two pictures differ by at least 35 dB."""
    decoded = [model.decoder.decode_values(one.to(model.dtype)).float() for one in latents]
    error = float(((decoded[0] - decoded[1]) * 127.5).pow(2).mean())
    return error == 0 or 10 * np.log10(255**2 / error) >= 35


def test_the_device_time_of_a_request_is_within_the_time_that_it_ran(model: Depth2ImgModel) -> None:
    """Measured with CUDA events; eight equal requests share each call."""
    engine, recorder = new_engine(
        model, row_limit=16, request_limit=8, admission_limit=8, clock=CudaClock()
    )
    began = time.perf_counter()
    for number in range(8):
        engine.post(Submit(request(str(number), steps=10, strength=1.0)))
    finish(engine, recorder, [str(number) for number in range(8)])
    wall = time.perf_counter() - began
    shares = [result.timings.device for result in recorder.results.values()]
    assert 0 < sum(shares) <= wall
    assert max(shares) < 2 * min(shares)
