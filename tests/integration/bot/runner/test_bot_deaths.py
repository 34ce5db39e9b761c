"""A job whose processing ends the bot's process is failed, and other jobs are not."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from bot.jobs.job import JobState
from bot.jobs.queue import FairQueue
from bot.runner.resume import MAX_BOT_DEATHS, IsolatedJobs, resume_jobs
from bot.store.store import Store
from tests.support.bots.crash_campaign import Campaign, death
from tests.support.fake_discord.server import FakeDiscord, fake_discord
from tests.support.fake_discord.state import DiscordState
from tests.support.jobs import job

BOT = 1000


async def ask(discord: FakeDiscord, number: int, prompt: str) -> None:
    await discord.command(BOT, 100 + number, 200 + number, "redraw", prompt=prompt)


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
async def test_a_job_that_kills_the_bot_is_failed_and_its_neighbours_are_made(
    tmp_path: Path,
) -> None:
    state = DiscordState()
    async with fake_discord(state) as discord:
        bot = Campaign(discord, tmp_path / "bot", BOT, Random(1), deleted=0.0)
        state.on_show = bot.watch
        for run in range(MAX_BOT_DEATHS):
            with bot._running(None, stuck=False) as process:
                dead = death(process)
                if run == 0:
                    await discord.gateway.wait_ready(BOT)
                    for number in range(3):
                        await ask(discord, number, "slow")
                    await ask(discord, 3, "kills the bot")
                await asyncio.wait_for(dead, 30)
        await bot.finish()
    texts = [message.text for message in state.messages.values() if "answer" in message.text]
    assert sum("answer made" in text for text in texts) == 3
    [failed] = [text for text in texts if "answer failed" in text]
    assert "three times" in failed
    assert all(len(seen.answers) == 1 for seen in bot.seen.values())


async def running_job(store: Store, deaths: int) -> str:
    """A job that ran when the bot ended, after so many earlier ends."""
    one = job(bot_deaths=deaths)
    await store.accept(one)
    await store.start(one.id, 1.0)
    return one.id


async def test_a_job_runs_again_after_the_bot_ended_twice(tmp_path: Path) -> None:
    async with Store.open(tmp_path) as store:
        id_ = await running_job(store, 1)
        assert await resume_jobs(store, FairQueue()) == []
        resumed = await store.job(id_)
    assert resumed is not None
    assert (resumed.state, resumed.bot_deaths, resumed.attempts) == (JobState.QUEUED, 2, 0)


async def test_a_job_fails_with_a_sentence_after_the_bot_ended_three_times(tmp_path: Path) -> None:
    async with Store.open(tmp_path) as store:
        await running_job(store, MAX_BOT_DEATHS - 1)
        [failed] = await resume_jobs(store, FairQueue())
    assert failed.state is JobState.FAILED
    assert failed.error is not None
    assert "three times" in failed.error


async def test_a_bot_that_is_stopped_in_order_is_not_counted(tmp_path: Path) -> None:
    async with Store.open(tmp_path) as store:
        id_ = await running_job(store, 1)
        assert (await store.requeue(id_)).bot_deaths == 1


def test_jobs_during_which_the_bot_ended_twice_run_first_and_alone() -> None:
    queue = FairQueue()
    jobs = [replace(job(), user_id=user) for user in range(4)]
    for one in jobs[:2]:
        queue.add(one)
    for one in jobs[2:]:
        queue.add(replace(one, bot_deaths=2))
    isolated = IsolatedJobs(queue)
    isolated.find()
    order = []
    while (started := queue.pop(isolated.may_start)) is not None:
        order.append(started.id)
        if started.bot_deaths:
            assert queue.pop(isolated.may_start) is None
            queue.done(started.id)
            isolated.ended(started.id)
    assert order == [jobs[2].id, jobs[3].id, jobs[0].id, jobs[1].id]
