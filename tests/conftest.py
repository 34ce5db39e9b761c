"""Environment of all tests, and the service with a real worker that several modules use."""

from __future__ import annotations

import os

# Set before torch is imported. The tests run in parallel, one process on each core.
os.environ["OMP_NUM_THREADS"] = "1"
# No test may contact the model hub.
os.environ["HF_HUB_OFFLINE"] = "1"

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from inference import LocalService


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def noise_service() -> AsyncIterator[LocalService]:
    """A real worker process with a tiny random pipeline, shared by the tests of a module."""
    async with LocalService(model="noise", dtype="float32", cache_dir=Path("unused")) as service:
        await service.wait_ready()
        yield service
