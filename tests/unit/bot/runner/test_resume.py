"""The unanswered jobs at the start of the bot: their order, and those that do not run again."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.i18n.error_text import translate_error
from bot.jobs.failures import BotDiedRepeatedly, WorkerDiedTwice
from bot.jobs.job import JobState
from bot.jobs.queue import FairQueue
from bot.runner.resume import MAX_BOT_DEATHS, resume_jobs
from bot.store.store import Store
from tests.support.jobs import job


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with Store.open(tmp_path) as opened:
        yield opened


async def accepted(store: Store, name: str, user: int = 7, *, runs: bool = False) -> None:
    await store.accept(job(id=name, user_id=user))
    if runs:
        await store.start(name, 1.0)


def order(queue: FairQueue) -> list[str]:
    return [one.id for one in queue.order()]


async def test_jobs_that_ran_come_first_and_in_the_order_of_their_acceptance(store: Store) -> None:
    for name in ("waits 1", "runs 1", "runs 2", "waits 2", "runs 3"):
        await accepted(store, name, user=int(name[-1]), runs=name.startswith("runs"))
    queue = FairQueue()
    assert await resume_jobs(store, queue) == []
    assert order(queue) == ["runs 1", "runs 2", "runs 3", "waits 1", "waits 2"]


async def test_a_job_that_was_made_or_cancelled_is_only_answered(store: Store) -> None:
    for name in ("made", "cancelled", "failed", "answered"):
        await accepted(store, name, runs=True)
    await store.made("made", 1.0)
    await store.cancel("cancelled")
    await store.fail("failed", "No.")
    await store.cancel("answered")
    await store.answered("answered", 2.0)
    queue = FairQueue()
    assert [(one.id, one.state) for one in await resume_jobs(store, queue)] == [
        ("made", JobState.MADE),
        ("cancelled", JobState.CANCELLED),
        ("failed", JobState.FAILED),
    ]
    assert order(queue) == []


@pytest.mark.parametrize(("deaths", "attempts"), [(0, 0), (1, 1)])
async def test_a_job_with_an_attempt_left_runs_again(
    store: Store, deaths: int, attempts: int
) -> None:
    await accepted(store, "one", runs=True)
    for _ in range(deaths):
        await store.worker_died("one")
        await store.start("one", 2.0)
    queue = FairQueue()
    assert await resume_jobs(store, queue) == []
    [one] = queue.order()
    assert (one.state, one.attempts, one.bot_deaths) == (JobState.QUEUED, attempts, 1)


@pytest.mark.parametrize("locale", ["en-US", "de", "ja"])
async def test_there_is_no_third_attempt_after_two_deaths_of_the_worker(
    store: Store, locale: str
) -> None:
    """The bot was killed after the second death was stored, and before the failure was."""
    await store.accept(job(id="one", locale=locale))
    for _ in range(2):
        await store.start("one", 1.0)
        await store.worker_died("one")
    queue = FairQueue()
    [failed] = await resume_jobs(store, queue)
    assert order(queue) == []
    assert (failed.state, failed.error) == (
        JobState.FAILED,
        translate_error(locale, WorkerDiedTwice()),
    )


async def test_a_job_that_ended_the_bot_three_times_is_named_in_the_log(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    await store.accept(job(id="one", locale="fr", bot_deaths=MAX_BOT_DEATHS - 1))
    await store.start("one", 1.0)
    [failed] = await resume_jobs(store, FairQueue())
    assert failed.error == translate_error("fr", BotDiedRepeatedly())
    [record] = caplog.records
    assert (record.levelno, getattr(record, "job", "")) == (logging.ERROR, "one")
    assert record.getMessage() == "the bot's process ended while it ran"
