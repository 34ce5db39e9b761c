"""A real worker with three models under a budget that holds two of them."""

from __future__ import annotations

import asyncio
import random
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import numpy as np
import psutil
import pytest
import torch

from inference import ImageRequest, ImageResult, LocalService, ModelState
from inference.engine.loop import SteppedEngine
from inference.engine.policy import BatchPolicy
from inference.families.depth2img import Depth2ImgModel
from inference.model_entry import ModelEntry
from inference.pipelines import random_tiny
from inference.pipelines.devices import weights_on
from inference.pool.pool import ModelPool, Report
from inference.pool.switching import SwitchPolicy, serve_seconds
from inference.worker.messages import ModelEngine, ModelStates, Ready, Submit
from tests.support.engines import LIBRARY_WARNINGS, SynchronousExecutor, array, picture_of
from tests.support.requests import request

NAMES = ("amber", "beryl", "coral")
USERS = 12
# Resident memory of the worker may vary by so much between two equally loaded states.
MEMORY_TOLERANCE = 48 * 2**20


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    root = tmp_path_factory.mktemp("models")
    return [str(random_tiny.save(root / name, seed)) for seed, name in enumerate(NAMES)]


def weights() -> int:
    """The size of each of the three."""
    return weights_on(torch.device("cpu"), random_tiny.build().components.values())


@asynccontextmanager
async def serving(folders: Sequence[str], *, models: float = 2.5) -> AsyncIterator[LocalService]:
    """A service with these models and memory for so many of them."""
    async with LocalService(
        model=folders[0],
        other_models=folders[1:],
        model_memory=int(models * weights()),
        device="cpu",
        dtype="float32",
        batch_rows=8,
    ) as service:
        await service.wait_ready()
        yield service


def wanted(number: int, rng: random.Random) -> ImageRequest:
    """A random request for a random model."""
    return replace(
        request(f"r{number}"),
        model=rng.choice(NAMES),
        steps=rng.choice([4, 6, 8]),
        strength=rng.choice([0.5, 1.0]),
        guidance_scale=rng.choice([1.0, 5.0]),
        seed=rng.randrange(2**63),
    )


async def run_load(
    service: LocalService, requests: Sequence[ImageRequest]
) -> tuple[dict[str, ImageResult], dict[str, float]]:
    """`USERS` users take one request after the other and wait for each; results and seconds."""
    left = iter(requests)
    results: dict[str, ImageResult] = {}
    seconds: dict[str, float] = {}

    async def user() -> None:
        for one in left:
            began = time.monotonic()
            results[one.id] = await service.generate(one)
            seconds[one.id] = time.monotonic() - began

    async with asyncio.TaskGroup() as group:
        for _ in range(USERS):
            group.create_task(user())
    return results, seconds


def switches_in_order(names: Sequence[str], room: int) -> int:
    """How often first come, first served loads a model, if the last `room` used ones stay."""
    loaded: OrderedDict[str, None] = OrderedDict()
    loads = 0
    for name in names:
        if name not in loaded:
            loads += 1
        loaded[name] = None
        loaded.move_to_end(name)
        if len(loaded) > room:
            loaded.popitem(last=False)
    return loads


def check_pictures(requests: Sequence[ImageRequest], results: dict[str, ImageResult]) -> None:
    """Each result is the picture that its model makes alone; rounding may differ by one level."""
    alone = {name: Depth2ImgModel(random_tiny.build(seed)) for seed, name in enumerate(NAMES)}
    for one in requests:
        expected = picture_of(alone[one.model], one)
        difference = np.abs(array(results[one.id]).astype(int) - expected)
        assert difference.max() <= 1, one.id


@pytest.mark.slow
@LIBRARY_WARNINGS
async def test_300_mixed_requests_of_three_models(folders: list[str]) -> None:
    number = 300
    rng = random.Random(number)
    requests = [wanted(each, rng) for each in range(number)]
    async with serving(folders) as service:
        assert service.worker_pid is not None
        worker = psutil.Process(service.worker_pid)
        # Every model was loaded once, and a third of the load has run.
        first, _ = await run_load(service, requests[: number // 3])
        before = worker.memory_info().rss
        others, seconds = await run_load(service, requests[number // 3 :])
        after = worker.memory_info().rss
        models = service.status.models
    check_pictures(requests, first | others)
    assert sum(each.state is ModelState.LOADED for each in models) <= 2
    loads = sum(each.loads for each in models)
    assert len(NAMES) <= loads
    assert loads < switches_in_order([one.model for one in requests], 2) / 3
    load_seconds = max(each.load_seconds or 0.0 for each in models)
    # Two other models are served and drained before, each of at most USERS requests.
    bound = 2 * (2 * serve_seconds(load_seconds) + load_seconds)
    assert max(seconds.values()) < bound
    assert after - before < MEMORY_TOLERANCE


@LIBRARY_WARNINGS
def test_a_mixed_load_of_three_models_in_one_thread() -> None:
    """The same with the pool in the test's thread: every turn, without a worker process."""
    reports: list[object] = []

    def load(entry: ModelEntry, report: Report) -> tuple[ModelEngine, Ready]:
        model = Depth2ImgModel(random_tiny.build(NAMES.index(entry.name)))
        batches = BatchPolicy(row_limit=8, request_limit=4)
        engine = SteppedEngine(model, report, batches, SynchronousExecutor())
        return engine, Ready(slots=4, device="cpu", dtype="float32", weights=weights())

    pool = ModelPool(
        tuple(ModelEntry(name=name, source="", licence="") for name in NAMES),
        load,
        SwitchPolicy(budget=int(2.5 * weights())),
        reports.append,
        # However long the steps take, no model has been served for long enough to be replaced.
        clock=lambda: 0.0,
    )
    pool.start()
    rng = random.Random(5)
    requests = [replace(wanted(each, rng), steps=2) for each in range(18)]
    for one in requests:
        pool.post(Submit(one))
    results: dict[str, ImageResult] = {}
    while len(results) < len(requests):
        pool.turn()
        results = {each.id: each for each in reports if isinstance(each, ImageResult)}
    check_pictures(requests, results)
    states = [each for each in reports if isinstance(each, ModelStates)][-1].models
    assert sum(each.loads for each in states) == len(NAMES)
    assert switches_in_order([one.model for one in requests], 2) > len(NAMES)
