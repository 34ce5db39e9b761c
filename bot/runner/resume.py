"""Resumes the jobs that the last run of the bot did not answer."""

from __future__ import annotations

import logging

from bot.i18n.error_text import translate_error
from bot.jobs.failures import BotDiedRepeatedly, JobFailure, WorkerDiedTwice
from bot.jobs.job import Job, JobState
from bot.jobs.queue import FairQueue
from bot.runner.attempt import MAX_ATTEMPTS
from bot.store.store import RUNNABLE, Store

log = logging.getLogger(__name__)

# A job whose processing ends the bot's process must not do so at every start. Kills for other
# reasons are counted, too: this many while one job runs are unlikely.
MAX_BOT_DEATHS = 3
# From this number on a job runs alone, so that the next death is not counted for others as well.
SUSPECT_BOT_DEATHS = 2


class IsolatedJobs:
    """The jobs that may have ended the bot's process. As long as there are any, one job runs at a
    time, these first."""

    def __init__(self, queue: FairQueue) -> None:
        self._queue = queue
        self._ids: set[str] = set()

    def find(self) -> None:
        """Find them among the waiting jobs."""
        waiting = self._queue.order()
        self._ids = {job.id for job in waiting if job.bot_deaths >= SUSPECT_BOT_DEATHS}

    def may_start(self, job: Job) -> bool:
        """Whether the job may start beside those that run now."""
        return not self._ids or (job.id in self._ids and not self._queue.running)

    def ended(self, job_id: str) -> None:
        """The job will not run again."""
        self._ids.discard(job_id)


async def resume_jobs(store: Store, queue: FairQueue) -> list[Job]:
    """Put the unanswered jobs into the queue, those that ran first; returns those that are only to
    be answered."""
    to_answer: list[Job] = []
    ran: list[Job] = []
    for job in await store.unanswered():
        if job.state not in RUNNABLE:
            to_answer.append(job)
        elif job.attempts >= MAX_ATTEMPTS:
            # The bot was killed before it stored the failure.
            to_answer.append(await _fail(store, job, WorkerDiedTwice()))
        elif job.state is JobState.QUEUED:
            queue.add(job)
        elif job.bot_deaths + 1 >= MAX_BOT_DEATHS:
            log.error("the bot's process ended while it ran", extra={"job": job.id})
            to_answer.append(await _fail(store, job, BotDiedRepeatedly()))
        else:
            ran.append(await store.bot_died(job.id))
    for job in reversed(ran):
        queue.add_first(job)
    return to_answer


async def _fail(store: Store, job: Job, failure: JobFailure) -> Job:
    return await store.fail(job.id, translate_error(job.locale, failure))
