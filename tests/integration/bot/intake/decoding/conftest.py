"""One sandbox for the tests of a module."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from bot.intake import Intake, IntakeLimits


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def intake() -> AsyncIterator[Intake]:
    async with Intake(IntakeLimits(decode_seconds=60)) as intake:
        yield intake
