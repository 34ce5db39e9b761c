"""Whatever moment the bot is killed at, everybody who saw "queued" gets one answer."""

from __future__ import annotations

import asyncio
import sqlite3
from itertools import cycle, islice
from pathlib import Path
from random import Random

import pytest

from tests.fakediscord.campaign import Campaign
from tests.fakediscord.server import fake_discord
from tests.fakediscord.world import Message, World

MOMENTS = ("before", "within", "after")
# Each comes once for every job of a round.
OFTEN = (
    *(f"{moment} {change}" for change in ("accept", "start", "variant") for moment in MOMENTS),
    *(f"{moment} {change}" for change in ("made", "answered") for moment in MOMENTS),
    *("picture written", "picture renamed", "before edit", "after edit"),
)
# Each comes once in a while, or once in a start.
SELDOM = (
    *(f"{moment} {change}" for change in ("fail", "cancel", "posting") for moment in MOMENTS),
    *(f"{moment} {change}" for change in ("forget", "blank") for moment in MOMENTS),
    *("before post", "after post"),
)
# Only where running jobs are put back because the bot is told to stop.
STOPPING = tuple(f"{moment} requeue" for moment in MOMENTS)
JOBS_A_ROUND = 16


async def wage(bot: Campaign, kills: int, downtime: float) -> None:
    """Every second kill is at any moment, the others at one named point after the other."""
    points = cycle([*OFTEN, *SELDOM])
    for number in range(kills // 2):
        point = next(points)
        await bot.round(JOBS_A_ROUND, (point, bot.random.randint(2, 12) if point in OFTEN else 1))
        await bot.round(JOBS_A_ROUND)
        if downtime and number % 5 == 4:
            bot.discord.world.offset += downtime
    missed = [point for point in (*OFTEN, *SELDOM) if not bot.killed_at[point]]
    for point in islice(cycle(missed), 5 * len(missed)):
        if not bot.killed_at[point]:
            await bot.round(JOBS_A_ROUND, (point, 1))
    for point in STOPPING:
        await bot.round(JOBS_A_ROUND, (point, 1), stuck=True)
    await bot.finish()


async def campaign(
    folder: Path, *, bots: int, kills: int, downtime: float = 0.0, private: float = 0.1
) -> list[Campaign]:
    """`bots` at a time, on one pretended clock, each killed `kills` times and a little more."""
    world = World(nonce_seconds=180.0)
    async with fake_discord(world) as discord:
        all_bots = [
            Campaign(discord, folder / f"bot{n}", 1000 + n, Random(n), private) for n in range(bots)
        ]

        def watch(message: Message) -> None:
            for bot in all_bots:
                bot.watch(message)

        world.on_show = watch
        await asyncio.gather(*(wage(bot, kills, downtime) for bot in all_bots))
    assert world.broken == []
    return all_bots


def check(bots: list[Campaign], *, jobs: int, kills: int) -> None:
    """Nobody was lost, nobody answered twice, every point was hit, every store is sound."""
    seen = {job_id: seen for bot in bots for job_id, seen in bot.seen.items()}
    print(f"{len(seen)} jobs, {sum(sum(bot.killed_at.values()) for bot in bots)} kills")
    assert {job_id: one for job_id, one in seen.items() if not one.answers} == {}
    assert {job_id: one for job_id, one in seen.items() if len(one.answers) > 1} == {}
    assert {job_id: one for job_id, one in seen.items() if one.went_back} == {}
    assert sum(sum(bot.killed_at.values()) for bot in bots) >= kills
    for bot in bots:
        assert [p for p in (*OFTEN, *SELDOM, *STOPPING) if not bot.killed_at[p]] == []
        db = sqlite3.connect(bot.folder / "redraw.sqlite3")
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert db.execute("SELECT count(*) FROM job WHERE finished_at IS NULL").fetchone() == (0,)
        db.close()
    assert len(seen) >= jobs


@pytest.mark.timeout(300)
async def test_two_hundred_kills_lose_nobody_and_answer_nobody_twice(tmp_path: Path) -> None:
    check(await campaign(tmp_path, bots=2, kills=100), jobs=2000, kills=200)
