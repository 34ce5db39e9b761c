"""A bot without cogs on a fake Discord, and one reply of it to answer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.bots.delivery_fixture import BOT, Case, DeliveryFixture
from tests.support.bots.minimal_bot import open_bot, point_discord_py_at
from tests.support.clocks.discord_pauses import shorten_pauses
from tests.support.fake_discord.server import fake_discord
from tests.support.fake_discord.state import DiscordState


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    shorten_pauses(monkeypatch)


@pytest.fixture
async def fixture(tmp_path: Path) -> AsyncIterator[DeliveryFixture]:
    async with fake_discord(DiscordState()) as discord:
        point_discord_py_at(discord.port)
        async with open_bot(tmp_path, BOT) as bot:
            yield DeliveryFixture(discord, bot)


@pytest.fixture
def case(fixture: DeliveryFixture) -> Case:
    return fixture.case()
