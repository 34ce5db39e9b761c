"""Delivers a job's answer exactly once, whatever Discord replies; shows progress until then."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

import discord

from bot.backoff import Backoff
from bot.delivery.edit_limiter import EditRateLimiter
from bot.delivery.error_policy import (
    BRIEF_RETRIES,
    ErrorAction,
    action_for,
    describe,
    retry_after,
)
from bot.delivery.message import EncodePictures, JobRenderer, MessageContent
from bot.delivery.notification import Notifier
from bot.delivery.progress import MAX_AGE, ProgressUpdater
from bot.delivery.routes import DeliveryRoute, RouteSender, open_routes
from bot.errors import JobNotActive, RenderFailed, StorageFull, StoredPictureMissing
from bot.i18n.error_text import translate_error
from bot.jobs.checks import JobChecks
from bot.jobs.failures import (
    BlockedByDiscord,
    JobFailure,
    MessageRefused,
    ResultLost,
    TooLargeForDiscord,
    Undeliverable,
)
from bot.jobs.job import Job, JobProgress, JobState, QueuePosition
from bot.monitoring.metrics import Metrics
from bot.store.database import no_failpoint
from bot.store.store import Store

log = logging.getLogger(__name__)

# Between attempts, in seconds.
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 300.0
FIRST_STORAGE_PAUSE = 5.0
GIVE_UP_SECONDS = 24 * 3600.0
SMALLEST_UPLOAD = 256 * 1024

FAILURES: dict[ErrorAction, type[JobFailure]] = {
    ErrorAction.BLOCKED: BlockedByDiscord,
    ErrorAction.SMALLER: TooLargeForDiscord,
    ErrorAction.MALFORMED: MessageRefused,
    ErrorAction.LOST: ResultLost,
}


class Delivery:
    """Sends what the renderer builds, as `client`, which must be logged in.

    `encode` compresses a job's pictures to fit its `upload_limit`. `clock` gives seconds since the
    epoch, `monotonic` seconds that no clock change affects. `failpoint` is called at each point
    between two writes.
    """

    def __init__(
        self,
        client: discord.Client,
        renderer: JobRenderer,
        store: Store,
        encode: EncodePictures,
        checks: JobChecks,
        *,
        edit_limiter: EditRateLimiter | None = None,
        metrics: Metrics | None = None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        failpoint: Callable[[str], None] = no_failpoint,
    ) -> None:
        self._renderer = renderer
        self._store = store
        self._encode = encode
        self._checks = checks
        self._edit_limiter = edit_limiter or EditRateLimiter()
        self._metrics = metrics or Metrics()
        self._clock = clock
        self._monotonic = monotonic
        self._sleep = sleep
        self._sender = RouteSender(client, store, clock, failpoint)
        self._notifier = Notifier(client, store)
        self._progress = ProgressUpdater(renderer, self._sender, self._edit_limiter, checks, clock)
        self._token_refused = False

    async def close(self) -> None:
        """Stop showing progress."""
        await self._progress.close()

    def show_queued(self, job: Job, position: QueuePosition) -> None:
        """Show a queue position when the channel's rate limit allows an edit."""
        self._progress.show_queued(job, position)

    def show_running(self, job: Job, progress: JobProgress) -> None:
        """Show progress when the channel's rate limit allows an edit."""
        self._progress.show_running(job, progress)

    async def deliver(self, job: Job) -> None:
        """Deliver the answer of a made, failed or cancelled job and record it.

        Returns when that is done, or when no route is left and the log says so. Cancelling it is
        safe at any moment: called again, also after a restart, it continues where it was.
        """
        await self._progress.stop(job.id)
        try:
            await self._deliver_and_record(job)
        except JobNotActive:
            log.info("the job was erased before it was answered")
        finally:
            self._progress.forget(job.id)

    async def render(self, job: Job, *, guild_id: int | None, channel_id: int) -> MessageContent:
        """The message of a made, failed or cancelled job, as it may be posted in a channel.

        Raises:
            StoredPictureMissing: one of its pictures was erased.
            ResultRefused, ResultNotChecked: one of its pictures may not be posted there.
        """
        if job.state is JobState.CANCELLED:
            return self._renderer.cancelled(job)
        if job.state is JobState.FAILED:
            return self._renderer.failed(job)
        pictures = [await self._store.pictures.get(v.result) for v in job.variants if v.result]
        for picture in pictures:
            await self._checks.check_post(picture, guild_id, channel_id)
        return self._renderer.made(job, await self._encode(job, pictures))

    async def _deliver_and_record(self, job: Job) -> None:
        backoff = Backoff(FIRST_STORAGE_PAUSE, LONGEST_PAUSE)
        while True:
            try:
                await self._deliver(job)
            except StorageFull:
                self._metrics.storage_full()
                pause = backoff.next()
                log.error("the disk is full: the answer waits; next try in %g s", pause)
                await self._sleep(pause)
                # The store knows whether a new message may have been sent.
                job = await self._reread(job.id)
            else:
                return

    async def _deliver(self, job: Job) -> None:
        began = self._monotonic()
        backoff = Backoff(FIRST_PAUSE, LONGEST_PAUSE)
        limit = job.destination.upload_limit
        closed: set[DeliveryRoute] = set()
        unparsed = 0
        while not self._token_refused:
            routes = [r for r in open_routes(job) if r not in closed]
            if not routes or self._monotonic() - began > GIVE_UP_SECONDS:
                await self._give_up(job)
                return
            route = routes[0]
            error = await self._attempt(route, job, limit)
            if error is None:
                await self._record_answer(job)
                return
            if isinstance(error, discord.HTTPException):
                self._metrics.discord_error(error.status, error.code)
            # The attempt may have recorded that a new message was being sent.
            job = await self._reread(job.id)
            if isinstance(error, JobFailure):
                log.warning("the answer: %s", type(error).__name__)
                job = await self._fail(job, error)
                continue
            action = action_for(error, as_bot=route is not DeliveryRoute.TOKEN_EDIT)
            is_bug = action is ErrorAction.MALFORMED
            if action is ErrorAction.RETRY_BRIEFLY:
                unparsed += 1
                is_bug = unparsed > BRIEF_RETRIES
                action = ErrorAction.NEXT_ROUTE if is_bug else ErrorAction.RETRY
            log.warning(
                "the answer by %s: %s → %s",
                route.name,
                describe(error),
                action.name,
                exc_info=error if is_bug else None,
            )
            old = self._clock() - job.created_at > MAX_AGE
            match action:
                case ErrorAction.RETRY if old and route is DeliveryRoute.BOT_EDIT:
                    # discord.py waits out a 429, and 30046 has that status: the bot may see only
                    # a timeout. The next route looks up whether the edit arrived.
                    closed.add(route)
                case ErrorAction.RETRY:
                    await self._sleep(max(backoff.next(), retry_after(error)))
                case ErrorAction.KEEP:
                    log.critical("Discord refuses the bot's token; answers wait for the next start")
                    self._token_refused = True
                case ErrorAction.SMALLER if job.state is JobState.MADE and limit > SMALLEST_UPLOAD:
                    limit //= 2
                case ErrorAction.NEXT_ROUTE:
                    closed.add(route)
                case _ if job.state is JobState.MADE:
                    job = await self._fail(job, FAILURES[action]())
                case _:
                    closed.add(route)

    async def _give_up(self, job: Job) -> None:
        log.error("no route is left for the answer")
        if job.state is JobState.MADE:
            await self._fail(job, Undeliverable())
        await self._record_answer(job)

    async def _record_answer(self, job: Job) -> None:
        now = self._clock()
        answered = await self._store.answered(job.id, now)
        self._metrics.answered(answered, now)
        await self._notifier.notify(answered)

    async def _fail(self, job: Job, failure: JobFailure) -> Job:
        sentence = translate_error(job.locale, failure)
        failed = await self._store.fail(job.id, sentence, case_id=failure.case_id)
        self._metrics.job_failed(failure)
        return failed

    async def _attempt(self, route: DeliveryRoute, job: Job, limit: int) -> Exception | None:
        destination = replace(job.destination, upload_limit=limit)
        direct = route is DeliveryRoute.DIRECT_POST
        try:
            content = await self.render(
                replace(job, destination=destination),
                guild_id=None if direct else destination.guild_id,
                # A direct message has a channel of its own, with the rules of ordinary ones.
                channel_id=0 if direct else destination.channel_id,
            )
        except (StoredPictureMissing, JobFailure) as error:
            return error
        except Exception as error:  # noqa: BLE001 - a bug must not leave the user without a reply
            failed = RenderFailed(f"The message of job {job.id} could not be built.")
            failed.__cause__ = error
            return failed
        await self._edit_limiter.acquire_for_answer(job.destination.channel_id)
        try:
            await self._sender.send(route, job, content)
        except (JobNotActive, StorageFull):
            raise
        except Exception as error:  # noqa: BLE001 - the error policy decides on every error
            return error
        return None

    async def _reread(self, job_id: str) -> Job:
        job = await self._store.job(job_id)
        if job is None:
            raise JobNotActive(f"Job {job_id} was erased.")
        return job
