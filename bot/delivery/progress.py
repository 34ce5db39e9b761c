"""Shows queue positions and progress in a job's message until its answer is delivered."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace

import discord

from bot.delivery.edit_limiter import EditRateLimiter
from bot.delivery.error_policy import describe
from bot.delivery.message import JobRenderer, MessageContent
from bot.delivery.routes import DeliveryRoute, RouteSender, open_routes
from bot.jobs.checks import JobChecks
from bot.jobs.job import Job, JobProgress, QueuePosition
from bot.logs.job_context import job_context

log = logging.getLogger(__name__)

# An upload of a preview over a slow connection.
EDIT_SECONDS = 10.0
# Messages older than an hour accept only a few edits (error 30046); those are kept for answers.
MAX_AGE = 55 * 60.0

_Render = Callable[[], Awaitable[MessageContent]]


class ProgressUpdater:
    """Of several states of a job only the newest is shown. Errors are logged and not retried."""

    def __init__(
        self,
        renderer: JobRenderer,
        sender: RouteSender,
        edit_limiter: EditRateLimiter,
        checks: JobChecks,
        clock: Callable[[], float],
    ) -> None:
        self._renderer = renderer
        self._sender = sender
        self._edit_limiter = edit_limiter
        self._checks = checks
        self._clock = clock
        self._newest: dict[str, tuple[Job, _Render]] = {}
        self._loops: dict[str, asyncio.Task[None]] = {}
        self._edits: dict[str, asyncio.Task[None]] = {}
        self._stopped: set[str] = set()
        # Jobs whose message has shown something.
        self._begun: set[str] = set()

    def show_queued(self, job: Job, position: QueuePosition) -> None:
        """Show a queue position when the channel's rate limit allows an edit."""

        async def render() -> MessageContent:
            return self._renderer.queued(job, position)

        self._show(job, render)

    def show_running(self, job: Job, progress: JobProgress) -> None:
        """Show progress when the channel's rate limit allows an edit, with the preview if that
        passes its check."""

        async def render() -> MessageContent:
            shown = progress
            if shown.preview and not await self._checks.may_preview(job, shown.preview):
                shown = replace(shown, preview=None)
            return self._renderer.running(job, shown)

        self._show(job, render)

    async def stop(self, job_id: str) -> None:
        """Show nothing more of the job; returns when an edit that was being sent has ended."""
        self._stopped.add(job_id)
        self._newest.pop(job_id, None)
        if edit := self._edits.get(job_id):
            await asyncio.wait({edit})

    def forget(self, job_id: str) -> None:
        """The job is answered."""
        self._stopped.discard(job_id)
        self._begun.discard(job_id)

    async def close(self) -> None:
        """Stop all updates."""
        tasks = list(self._loops.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _show(self, job: Job, render: _Render) -> None:
        if job.id in self._stopped or self._clock() - job.created_at > MAX_AGE:
            return
        self._newest[job.id] = (job, render)
        if job.id not in self._loops:
            with job_context(job.id):
                task = asyncio.create_task(self._update(job), name=f"progress of {job.id}")
            self._loops[job.id] = task

    async def _update(self, job: Job) -> None:
        try:
            while job.id in self._newest:
                if job.id in self._begun:
                    await self._edit_limiter.acquire_for_progress(job.destination.channel_id)
                else:
                    # The first state tells the user that the request was accepted: it does not
                    # wait for other jobs' progress.
                    self._begun.add(job.id)
                    await self._edit_limiter.acquire_for_answer(job.destination.channel_id)
                if newest := self._newest.pop(job.id, None):
                    edit = asyncio.create_task(self._edit(*newest))
                    self._edits[job.id] = edit
                    # Not cancelled half-way: it could then arrive after the answer.
                    await asyncio.shield(edit)
        finally:
            del self._loops[job.id]

    async def _edit(self, job: Job, render: _Render) -> None:
        routes = open_routes(job)
        expires = job.destination.token_expires_at
        if len(routes) > 1 and expires and self._clock() >= expires:
            # Unlike an answer, progress is not worth a request that Discord will refuse.
            routes = routes[1:]
        route = routes[0]
        try:
            if route in (DeliveryRoute.TOKEN_EDIT, DeliveryRoute.BOT_EDIT):
                content = await render()
                async with asyncio.timeout(EDIT_SECONDS):
                    await self._sender.edit(route, job, content)
        except Exception as error:  # noqa: BLE001 - progress is optional
            log.info("progress could not be shown: %s", describe(error))
            if isinstance(error, discord.HTTPException) and error.status < 500:
                # Discord bans an address after 10,000 refused requests in ten minutes.
                self._stopped.add(job.id)
        finally:
            del self._edits[job.id]
