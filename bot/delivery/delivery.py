"""Answers a job exactly once, whatever Discord does; shows its progress until then."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial

import discord

from bot.delivery.edit_limiter import EditRateLimiter
from bot.delivery.error_policy import ErrorAction, RenderFailed, action_for, retry_after
from bot.delivery.message import EncodePictures, JobRenderer, MessageContent
from bot.delivery.routes import DeliveryRoute, RouteSender, open_routes
from bot.i18n.translate import translate_error
from bot.jobs.failures import (
    BlockedByDiscord,
    JobFailure,
    MessageRefused,
    ResultLost,
    TooLargeForDiscord,
    Undeliverable,
)
from bot.jobs.job import Job, JobProgress, JobState, QueuePosition
from bot.store.picture_files import StoredPictureMissing
from bot.store.store import JobNotActive, Store, no_failpoint

log = logging.getLogger(__name__)

PROGRESS_SECONDS = 10.0
# Messages older than an hour may be edited a few times only (error 30046): these are for answers.
PROGRESS_AGE = 55 * 60.0
# Between attempts the pause doubles from the first to the last of these; after a day of them
# nobody waits any more.
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 300.0
GIVE_UP_SECONDS = 24 * 3600.0
SMALLEST_UPLOAD = 256 * 1024

FAILURES: dict[ErrorAction, type[JobFailure]] = {
    ErrorAction.BLOCKED: BlockedByDiscord,
    ErrorAction.SMALLER: TooLargeForDiscord,
    ErrorAction.MALFORMED: MessageRefused,
    ErrorAction.LOST: ResultLost,
}


class Delivery:
    """Sends what the presenter draws, as `client`, which must be logged in by then.

    `encode` compresses a job's pictures to fit its `upload_limit`. `clock` gives seconds since the
    epoch, `sleep` waits on the same clock. `checkpoint` is called at each point between two writes.
    """

    def __init__(
        self,
        client: discord.Client,
        renderer: JobRenderer,
        store: Store,
        encode: EncodePictures,
        *,
        edit_limiter: EditRateLimiter | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        failpoint: Callable[[str], None] = no_failpoint,
    ) -> None:
        self._renderer = renderer
        self._store = store
        self._encode = encode
        self._edit_limiter = edit_limiter or EditRateLimiter()
        self._clock = clock
        self._sleep = sleep
        self._sender = RouteSender(client, store, clock, failpoint)
        self._refused = False
        self._newest: dict[str, tuple[Job, Callable[[], MessageContent]]] = {}
        self._showing: dict[str, asyncio.Task[None]] = {}
        self._progress_calls: dict[str, asyncio.Task[None]] = {}
        self._quiet: set[str] = set()

    async def close(self) -> None:
        """Stop showing progress."""
        tasks = list(self._showing.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def show_queued(self, job: Job, position: QueuePosition) -> None:
        """Show a place in line, when the channel has room for an edit."""
        self._show(job, partial(self._renderer.queued, job, position))

    def show_progress(self, job: Job, progress: JobProgress) -> None:
        """Show progress, when the channel has room for an edit."""
        self._show(job, partial(self._renderer.running, job, progress))

    async def answer(self, job: Job) -> None:
        """Give a made, failed or cancelled job's person what they wait for, and record it.

        Returns when that is done, or when no way is left and the log says so. Cancelling it is
        safe at any moment: called again, also after a restart, it goes on where it was.
        """
        self._quiet.add(job.id)
        self._newest.pop(job.id, None)
        if call := self._progress_calls.get(job.id):
            await asyncio.wait({call})
        try:
            await self._answer(job)
        except JobNotActive:
            log.info("job %s was forgotten before it was answered", job.id)
        finally:
            self._quiet.discard(job.id)

    async def draw(self, job: Job) -> MessageContent:
        """What a made, failed or cancelled job's message looks like.

        Raises:
            FileNotFoundError: a picture of it has been forgotten.
        """
        if job.state is JobState.CANCELLED:
            return self._renderer.cancelled(job)
        if job.state is JobState.FAILED:
            return self._renderer.failed(job)
        pictures = [await self._store.pictures.get(v.result) for v in job.variants if v.result]
        return self._renderer.made(job, await self._encode(job, pictures))

    async def _answer(self, job: Job) -> None:
        began = self._clock()
        pause = FIRST_PAUSE
        limit = job.destination.upload_limit
        closed: set[DeliveryRoute] = set()
        while not self._refused:
            ways = [way for way in open_routes(job, self._clock()) if way not in closed]
            if not ways or self._clock() - began > GIVE_UP_SECONDS:
                log.error("no way is left to answer job %s", job.id)
                if job.state is JobState.MADE:
                    await self._fail(job, Undeliverable())
                await self._store.answered(job.id, self._clock())
                return
            error = await self._attempt(ways[0], job, limit)
            if error is None:
                await self._store.answered(job.id, self._clock())
                return
            # A new message may have been begun: the store knows.
            job = await self._reread(job.id)
            reaction = action_for(error, as_bot=ways[0] is not DeliveryRoute.TOKEN_EDIT)
            log.warning(
                "answer to job %s by %s: %s → %s",
                job.id,
                ways[0].name,
                _described(error),
                reaction.name,
                exc_info=error if reaction is ErrorAction.MALFORMED else None,
            )
            old = self._clock() - job.created_at > PROGRESS_AGE
            match reaction:
                case ErrorAction.RETRY if old and ways[0] is DeliveryRoute.BOT_EDIT:
                    # discord.py waits out a 429, and 30046 comes with that status: it may well be
                    # seen as a timeout only. Whether the edit arrived is looked up on the next way.
                    closed.add(ways[0])
                case ErrorAction.RETRY:
                    await self._sleep(max(pause, retry_after(error)))
                    pause = min(2 * pause, LONGEST_PAUSE)
                case ErrorAction.KEEP:
                    log.critical("Discord refuses the bot's token; answers wait for the next start")
                    self._refused = True
                case ErrorAction.SMALLER if job.state is JobState.MADE and limit > SMALLEST_UPLOAD:
                    limit //= 2
                case ErrorAction.NEXT_ROUTE:
                    closed.add(ways[0])
                case _ if job.state is JobState.MADE:
                    job = await self._fail(job, FAILURES[reaction]())
                case _:
                    closed.add(ways[0])

    async def _fail(self, job: Job, failure: JobFailure) -> Job:
        return await self._store.fail(job.id, translate_error(job.locale, failure))

    async def _attempt(self, way: DeliveryRoute, job: Job, limit: int) -> Exception | None:
        within = replace(job.destination, upload_limit=limit)
        try:
            answer = await self.draw(replace(job, destination=within))
        except StoredPictureMissing as error:
            return error
        except Exception as error:  # noqa: BLE001 - a bug of ours must not leave a person waiting
            return RenderFailed(error)
        await self._edit_limiter.answer(job.destination.channel_id)
        try:
            await self._sender.send(way, job, answer)
        except JobNotActive:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the table has a reaction
            return error
        return None

    async def _reread(self, job_id: str) -> Job:
        job = await self._store.job(job_id)
        if job is None:
            raise JobNotActive(f"Job {job_id} was forgotten.")
        return job

    def _show(self, job: Job, draw: Callable[[], MessageContent]) -> None:
        """Of several states only the newest is shown, and none once the answer is under way.
        Nothing is promised: whatever goes wrong is left to the answer."""
        if job.id in self._quiet or self._clock() - job.created_at > PROGRESS_AGE:
            return
        self._newest[job.id] = (job, draw)
        if job.id not in self._showing:
            task = asyncio.create_task(self._keep_showing(job), name=f"progress of {job.id}")
            self._showing[job.id] = task

    async def _keep_showing(self, job: Job) -> None:
        try:
            while job.id in self._newest:
                await self._edit_limiter.progress(job.destination.channel_id)
                if newest := self._newest.pop(job.id, None):
                    call = asyncio.create_task(self._show_once(*newest))
                    self._progress_calls[job.id] = call
                    # Not cut off half-way: it could then arrive after the answer.
                    await asyncio.shield(call)
        finally:
            del self._showing[job.id]

    async def _show_once(self, job: Job, draw: Callable[[], MessageContent]) -> None:
        ways = open_routes(job, self._clock())
        try:
            if ways[0] in (DeliveryRoute.TOKEN_EDIT, DeliveryRoute.BOT_EDIT):
                async with asyncio.timeout(PROGRESS_SECONDS):
                    await self._sender.edit(ways[0], job, draw())
        except Exception as error:  # noqa: BLE001 - progress is a courtesy
            log.info("progress of job %s: %s", job.id, _described(error))
            if isinstance(error, discord.HTTPException) and error.status < 500:
                # Ten thousand refused requests in ten minutes ban the address.
                self._quiet.add(job.id)
        finally:
            del self._progress_calls[job.id]


def _described(error: Exception) -> str:
    """For the log. Only Discord's own words: others may hold an address with a token in it."""
    if isinstance(error, discord.HTTPException):
        return f"{error.status} {error.code} {error.text}"
    return type(error).__name__
