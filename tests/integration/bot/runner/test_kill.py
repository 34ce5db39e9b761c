"""The bot is killed at any moment: every user who saw "queued" gets exactly one answer."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from itertools import cycle
from pathlib import Path
from random import Random

import pytest

from tests.support.bots.crash_campaign import Campaign
from tests.support.bots.minimal_bot import DEVICE_SECONDS
from tests.support.fake_discord.objects import Message
from tests.support.fake_discord.server import fake_discord
from tests.support.fake_discord.state import DiscordState

# A bot that is killed during an upload leaves the fake server with an incomplete form.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")

MOMENTS = ("before", "within", "after")
# Passed once for every job of a round.
FREQUENT = (
    *(f"{moment} {change}" for change in ("accept", "start", "variant") for moment in MOMENTS),
    *(f"{moment} {change}" for change in ("made", "answered") for moment in MOMENTS),
    *("picture written", "picture renamed", "before edit", "after edit"),
)
# Passed rarely, or once per start.
RARE = (
    *(f"{moment} {change}" for change in ("fail", "cancel", "posting") for moment in MOMENTS),
    *(f"{moment} {change}" for change in ("erase", "death", "bot death") for moment in MOMENTS),
    *("before post", "after post"),
)
# Passed only when running jobs are put back because the bot is stopped.
STOPPING = tuple(f"{moment} requeue" for moment in MOMENTS)
# Kills that come faster than answers would leave thousands of waiting jobs, which each start reads.
MAX_UNANSWERED = 200


async def run_campaign(
    bot: Campaign, points: Sequence[str], kills: int, jobs: int, jobs_a_round: int
) -> None:
    """Every second kill is at a random moment, the others at each of these failpoints in turn."""
    turns = cycle(point for point in points if point not in STOPPING)
    for _ in range(kills // 2):
        point = next(turns)
        await kill_at(
            bot, point, bot.random.randint(2, 8) if point in FREQUENT else 1, jobs_a_round
        )
        await bot.round(jobs_a_round)
        if len(bot.unanswered()) > MAX_UNANSWERED:
            await bot.finish()
    for point in points:
        if not bot.killed_at[point]:
            await kill_at(bot, point, 1, jobs_a_round)
    while len(bot.seen) < jobs:
        await bot.round(jobs_a_round)
        if len(bot.unanswered()) > MAX_UNANSWERED:
            await bot.finish()
    await bot.finish()


async def kill_at(bot: Campaign, point: str, nth: int, jobs_a_round: int) -> None:
    """Kill the bot when it passes this failpoint for the n-th time."""
    if point.endswith(("bot death", "requeue")):
        # Jobs of earlier rounds might not pass it: they fail after their third kill, or their users
        # cancel them.
        await bot.finish()
    if point.endswith("bot death"):
        # Passed at the start after a kill at which a job ran.
        await bot.round(jobs_a_round, ("after start", 1))
    await bot.round(jobs_a_round, (point, nth), stuck=point in STOPPING)


@asynccontextmanager
async def bots_to_kill(
    folder: Path, number: int, *, private: float = 0.1, deleted: float = 0.15
) -> AsyncIterator[list[Campaign]]:
    """Bots on one fake Discord that keeps a nonce for three minutes."""
    discord_state = DiscordState(nonce_seconds=180.0)
    async with fake_discord(discord_state) as discord:
        bots = [
            Campaign(discord, folder / f"bot{n}", 1000 + n, Random(n), private, deleted)
            for n in range(number)
        ]

        def watch(message: Message) -> None:
            for bot in bots:
                bot.watch(message)

        discord_state.on_show = watch
        yield bots
    assert discord_state.broken == []
    for bot in bots:
        check(bot)


def check(bot: Campaign) -> None:
    """No job was lost, none was answered or charged twice, and the database is intact."""
    print(f"{len(bot.seen)} jobs, {sum(bot.killed_at.values())} kills")
    assert {job_id: seen for job_id, seen in bot.seen.items() if not seen.answers} == {}
    assert {job_id: seen for job_id, seen in bot.seen.items() if len(seen.answers) > 1} == {}
    assert {job_id: seen for job_id, seen in bot.seen.items() if seen.regressed} == {}
    db = sqlite3.connect(bot.folder / "redraw.sqlite3")
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert db.execute("SELECT count(*) FROM job WHERE finished_at IS NULL").fetchone() == (0,)
    # Each picture is charged once, at the price that the engine measured, and each request counted.
    query = "SELECT sum(pictures), sum(seconds), sum(requests) FROM usage"
    pictures, seconds, requests = db.execute(query).fetchone()
    made = "SELECT count(*) FROM picture WHERE role LIKE 'result%'"
    erased = "SELECT ifnull(sum(pictures), 0), ifnull(sum(jobs), 0) FROM tally"
    (stored,) = db.execute(made).fetchone()
    erased_pictures, erased_jobs = db.execute(erased).fetchone()
    (jobs,) = db.execute("SELECT count(*) FROM job").fetchone()
    assert pictures == stored + erased_pictures > 0
    # A cancelled request is charged the steps that ran: less than a picture.
    (cancelled,) = db.execute("SELECT count(*) FROM job WHERE state = 'cancelled'").fetchone()
    for_cancelled = seconds - pictures * DEVICE_SECONDS
    assert 0 <= for_cancelled <= (cancelled + erased_jobs) * DEVICE_SECONDS
    assert requests == jobs + erased_jobs
    db.close()


@pytest.mark.parametrize(
    ("jobs", "kills", "jobs_a_round"),
    [
        # At least 62 kills: one at each of the 42 failpoints, and 20 at random moments.
        pytest.param(300, 40, 8, id="300 jobs"),
        pytest.param(
            20_000,
            1_000,
            16,
            id="20000 jobs",
            marks=[pytest.mark.slow, pytest.mark.timeout(3600)],
        ),
    ],
)
async def test_no_kill_loses_a_job_or_answers_it_twice(
    tmp_path: Path, jobs: int, kills: int, jobs_a_round: int
) -> None:
    # Two at a time, with half of the failpoints each: there are two cores, and a restart is mostly
    # waiting.
    halves = [(*FREQUENT, *RARE, *STOPPING)[first::2] for first in range(2)]
    async with bots_to_kill(tmp_path, 2) as bots:
        await asyncio.gather(
            *(
                run_campaign(bot, points, kills // 2, jobs // 2, jobs_a_round)
                for bot, points in zip(bots, halves, strict=True)
            )
        )
    for bot, points in zip(bots, halves, strict=True):
        assert [point for point in points if not bot.killed_at[point]] == []
    assert sum(bot.killed_at["any time"] for bot in bots) >= kills // 2
    assert sum(sum(bot.killed_at.values()) for bot in bots) >= kills
    assert sum(len(bot.seen) for bot in bots) >= jobs
    for bot in bots:
        with closing(sqlite3.connect(bot.folder / "redraw.sqlite3")) as db:
            delivered = db.execute("SELECT request FROM job WHERE state = 'delivered'").fetchall()
        assert any(json.loads(request)["tile"] for (request,) in delivered)


@pytest.mark.timeout(300)
async def test_an_answer_is_not_sent_again_after_ten_minutes_of_downtime(
    tmp_path: Path,
) -> None:
    """Longer than a nonce is kept; after twice that the interaction tokens have expired, too.

    Without private answers: whether an ephemeral edit arrived cannot be found out once the token
    has expired.
    """
    points = ("before post", "after post", "before answered", "after edit", "after posting")
    async with bots_to_kill(tmp_path, 1, private=0.0, deleted=0.6) as [bot]:
        # On a busy machine a round may end before its point is reached.
        while left := [point for point in points if bot.killed_at[point] < 2]:
            await bot.round(8, (bot.random.choice(left), bot.random.randint(1, 3)))
            bot.discord.discord_state.offset += 600.0
        await bot.finish()
