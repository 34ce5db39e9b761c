"""What every test may use: few threads, a house with a real worker, a house with a scripted one."""

from __future__ import annotations

import os

# Before anything imports torch: the tests run side by side, one on a core.
os.environ["OMP_NUM_THREADS"] = "1"
# No test may reach a hub.
os.environ["HF_HUB_OFFLINE"] = "1"

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from inference import LocalService


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def noise_service() -> AsyncIterator[LocalService]:
    """One real worker process with the tiny pipeline of random weights, for a module's tests."""
    async with LocalService(model="noise", dtype="float32", cache_dir=Path("unused")) as service:
        await service.wait_ready()
        yield service
