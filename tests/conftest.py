"""Environment of all tests, and the service with a real worker that several modules use."""

from __future__ import annotations

import os

# Set before torch is imported. The tests run in several processes at once.
os.environ["OMP_NUM_THREADS"] = "1"
# No test may contact the model hub.
os.environ["HF_HUB_OFFLINE"] = "1"
# The demo begins in the language of the terminal. Tests of it expect English unless they set it.
os.environ["LC_ALL"] = "C.UTF-8"

import gc
import multiprocessing
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path

import hypothesis
import pytest
import pytest_asyncio
from PIL import Image

from inference import LocalService
from inference.worker import process
from tests.support.processes.forks import FORKS, stop_fork_server

# The same examples in every run. `--hypothesis-profile=long` searches for new ones.
hypothesis.settings.register_profile(
    "short", derandomize=True, max_examples=40, stateful_step_count=30, deadline=None, database=None
)
hypothesis.settings.register_profile("long", max_examples=3000, deadline=None, database=None)
hypothesis.settings.load_profile("short")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect the garbage of the tests only.

    What is imported before them stays until the end. The garbage collector would go through it
    again and again while it grows, and in each full collection of a test.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture(scope="session", autouse=True)
def forked_workers() -> Iterator[None]:
    """Fork workers from a process that has imported torch: the import takes seconds of CPU time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(process, "CONTEXT", FORKS)
        yield
    stop_fork_server()


@pytest.fixture
def spawned_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker starts as it does outside of tests: with this test's environment, and without any
    import."""
    monkeypatch.setattr(process, "CONTEXT", multiprocessing.get_context("spawn"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def noise_service() -> AsyncIterator[LocalService]:
    """A real worker process with a tiny random pipeline, shared by the tests of a module."""
    async with LocalService(model="noise", dtype="float32", cache_dir=Path("unused")) as service:
        await service.wait_ready()
        yield service


@pytest.fixture(autouse=True)
def pillow_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """The decoder changes Pillow's limit in its process: restore it after each test."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
