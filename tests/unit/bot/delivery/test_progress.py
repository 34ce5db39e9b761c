"""When a job's message shows its states."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import cast

from bot.delivery.edit_limiter import EDITS, RESERVED, EditRateLimiter
from bot.delivery.message import MessageContent
from bot.delivery.progress import ProgressUpdater
from bot.delivery.routes import DeliveryRoute, RouteSender
from bot.jobs.job import Job, JobProgress, QueuePosition
from cogs.shared.renderer import Img2ImgRenderer
from tests.support.checks import NoChecks
from tests.support.jobs import job


@dataclass
class RecordingSender:
    """Records the jobs whose messages are edited."""

    edited: list[str] = field(default_factory=list)

    async def edit(self, _route: DeliveryRoute, one: Job, _content: MessageContent) -> None:
        self.edited.append(one.id)


async def _wait_forever(_seconds: float) -> None:
    await asyncio.Event().wait()


async def test_the_first_state_of_a_job_does_not_wait_for_the_progress_of_others() -> None:
    sender = RecordingSender()
    limiter = EditRateLimiter(now=lambda: 0.0, sleep=_wait_forever)
    updater = ProgressUpdater(
        Img2ImgRenderer(lambda: True),
        cast("RouteSender", sender),
        limiter,
        NoChecks(),
        lambda: 0.0,
    )
    first, second = (replace(job(), id=name, created_at=0.0) for name in ("first", "second"))
    for _ in range(EDITS - RESERVED):
        await limiter.acquire_for_progress(first.destination.channel_id)
    updater.show_queued(first, QueuePosition(ahead=0, seconds=None))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert sender.edited == ["first"]
    # Further states wait, and the next job's first one does not wait for them.
    updater.show_running(first, JobProgress(step=1, total=2, seconds_left=None))
    await asyncio.sleep(0)
    updater.show_queued(second, QueuePosition(ahead=0, seconds=None))
    for _ in range(5):
        await asyncio.sleep(0)
    assert sender.edited == ["first", "second"]
    await updater.close()
