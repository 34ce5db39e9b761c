"""Moderation over a database of the test's own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from tests.support.moderation.scored import ModerationFixture, open_moderation


@pytest_asyncio.fixture
async def opened(tmp_path: Path) -> AsyncIterator[ModerationFixture]:
    async with open_moderation(tmp_path) as fixture:
        yield fixture
