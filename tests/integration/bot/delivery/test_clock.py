"""Answers on a simulated clock, beyond the age limits of tokens and messages."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

from bot.jobs.admission import TooSlowForPrivate
from bot.jobs.job import Job, JobState
from tests.support.bots.running_bot import Engine, open_running_bot
from tests.support.fake_discord.state import DiscordState


async def test_a_hundred_jobs_over_more_than_an_hour_are_answered_once_or_refused(
    tmp_path: Path,
) -> None:
    """Four jobs take 200 s; the last are finished after an hour. Every fifth is private."""
    discord_state, engine = DiscordState(), Engine(seconds=200.0)
    kinds: Counter[str] = Counter()
    async with open_running_bot(tmp_path, engine, discord_state) as running_bot:
        # One job has been measured.
        await running_bot.ask(1)
        await running_bot.idle()
        began_at: dict[str, float] = {}

        def may_end(request_id: str) -> bool:
            began = began_at.setdefault(request_id, discord_state.now())
            return discord_state.now() - began >= 200.0

        engine.may_end = may_end
        accepted: list[Job] = []
        for n in range(100):
            job = await running_bot.job(100 + n, private=n % 5 == 0)
            try:
                await running_bot.bot.runner.accept(job)
            except TooSlowForPrivate:
                kinds["refused"] += 1
            else:
                accepted.append(job)
        while not all(running_bot.answers(job) for job in accepted):
            await engine.until(
                lambda: len(engine.inside) == 4 or not running_bot.bot.runner.positions()
            )
            # Answers that are being sent arrive before the clock advances.
            while running_bot.bot.runner._answers:
                await asyncio.wait(running_bot.bot.runner._answers.values())
            discord_state.offset += 100.0
            await engine.tell()
            await asyncio.sleep(0.005)
        await running_bot.idle()
        for job in accepted:
            [answer] = running_bot.answers(job)
            waited = next(when for when, text in answer.shown if "answer" in text) - job.created_at
            kinds["token" if waited < 900 else "bot" if waited < 3600 else "old"] += 1
            kinds["private"] += job.destination.private
            # After an hour Discord may refuse one more edit of the reply (30046).
            assert answer.id == job.destination.message_id or waited >= 3600
            assert (await running_bot.state(job)).state is JobState.DELIVERED
    assert kinds["refused"] + len(accepted) == 100
    # Every route was used.
    assert all(kinds[kind] for kind in ("refused", "private", "token", "bot", "old")), kinds
