"""The whole bot with a fleet: it is killed, and every accepted job is answered exactly once.

Takes minutes: `pytest -m "ray and slow"`.
"""

from __future__ import annotations

import asyncio
import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.support.bots.full_bot_process import APPLICATION, running_bot, stop
from tests.support.fake_discord.objects import Message
from tests.support.fake_discord.server import FakeDiscord, fake_discord
from tests.support.fake_discord.state import DiscordState
from tests.support.processes.ray_cluster import LEFT_SECONDS, left_of_ray, processes_of_ray

pytest.importorskip("ray")
pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(900)]

JOBS = 12
SETTINGS: dict[str, Any] = {
    "SERVICE": "ray",
    "RAY_MIN_REPLICAS": "2",
    "MODERATION": "off",
    "QUEUE_LIMIT_PER_USER": str(JOBS),
    # With Ray's own niceness, 15, the replicas would hardly run beside other tests.
    "RAY_worker_niceness": "0",
}


def picture() -> bytes:
    out = io.BytesIO()
    Image.linear_gradient("L").convert("RGB").save(out, "PNG")
    return out.getvalue()


def answers(discord: FakeDiscord) -> list[Message]:
    messages = discord.discord_state.messages.values()
    return [m for m in messages if any(name.startswith("redraw-") for name in m.files)]


async def until(discord: FakeDiscord, number: int) -> None:
    async with asyncio.timeout(400):
        while len(answers(discord)) < number:
            discord.discord_state.changed.clear()
            await discord.discord_state.changed.wait()


async def test_every_job_is_answered_once_although_the_bot_is_killed(tmp_path: Path) -> None:
    before = processes_of_ray()
    async with fake_discord(DiscordState(content_intent={APPLICATION})) as discord:
        async with running_bot(discord.port, tmp_path, **SETTINGS) as (process, _):
            await discord.gateway.wait_ready(APPLICATION)
            for number in range(JOBS):
                await discord.command(
                    APPLICATION, 1, 2, "img2img", prompt=f"picture {number}", image=picture()
                )
            await until(discord, 3)
            process.kill()
            await process.wait()
        assert await left_of_ray(before, LEFT_SECONDS) == set()
        async with running_bot(discord.port, tmp_path, **SETTINGS) as (process, _):
            await until(discord, JOBS)
            assert await stop(process) == 0
        assert await left_of_ray(before, LEFT_SECONDS) == set()
        texts = [message.text for message in answers(discord)]
    assert len(texts) == JOBS
    for number in range(JOBS):
        assert sum(f"**picture {number}**" in text for text in texts) == 1, texts
