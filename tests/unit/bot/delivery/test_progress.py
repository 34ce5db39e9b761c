"""When a job's message shows its states, by which route, and when no more."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, cast

import discord
import pytest

from bot.delivery.edit_limiter import EDITS, RESERVED, EditRateLimiter
from bot.delivery.message import MessageContent
from bot.delivery.progress import MAX_AGE, ProgressUpdater
from bot.delivery.routes import DeliveryRoute, RouteSender
from bot.jobs.job import Job, JobProgress, QueuePosition
from inference import Preview
from tests.support.bots.minimal_bot import PlainRenderer
from tests.support.checks import NoChecks
from tests.support.jobs import job

NEXT = QueuePosition(ahead=0, seconds=None)
PREVIEW = Preview(pixels=bytes(3), width=1, height=1)


@dataclass
class RecordingSender:
    """Records the edits of messages; raises the next of `errors` instead."""

    edited: list[tuple[str, str]] = field(default_factory=list)
    routes: list[DeliveryRoute] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)

    async def edit(self, route: DeliveryRoute, one: Job, content: MessageContent) -> None:
        if self.errors:
            raise self.errors.pop(0)
        [text] = content.view.children
        assert isinstance(text, discord.ui.TextDisplay)
        self.edited.append((one.id, text.content))
        self.routes.append(route)


class Renderer(PlainRenderer):
    """Shows the values of each state."""

    def queued(self, job: Job, position: QueuePosition) -> MessageContent:
        return message(f"{position.ahead} ahead")

    def running(self, job: Job, progress: JobProgress) -> MessageContent:
        preview = " with a preview" if progress.preview else ""
        return message(f"{progress.step} of {progress.total}{preview}")


def message(text: str) -> MessageContent:
    view = discord.ui.LayoutView(timeout=None)
    view.add_item(discord.ui.TextDisplay(text))
    return MessageContent(view=view)


class PreviewChecks(NoChecks):
    """Refuses or accepts every preview."""

    def __init__(self, accept: bool) -> None:
        self.accept = accept

    async def may_preview(self, job: Job, preview: Preview) -> bool:
        assert preview == PREVIEW
        return self.accept


@dataclass
class Updates:
    """An updater whose clock stands still at `now`, and what it sent."""

    now: float = 0.0
    accept_previews: bool = True
    sender: RecordingSender = field(default_factory=RecordingSender)

    def __post_init__(self) -> None:
        self.limiter = EditRateLimiter(now=lambda: 0.0, sleep=_wait_forever)
        self.updater = ProgressUpdater(
            Renderer(),
            cast("RouteSender", self.sender),
            self.limiter,
            PreviewChecks(self.accept_previews),
            lambda: self.now,
        )

    @property
    def texts(self) -> list[str]:
        return [text for _, text in self.sender.edited]


async def _wait_forever(_seconds: float) -> None:
    await asyncio.Event().wait()


async def settled() -> None:
    for _ in range(8):
        await asyncio.sleep(0)


def running(step: int, preview: Preview | None = None) -> JobProgress:
    return JobProgress(step=step, total=9, seconds_left=None, preview=preview)


def job_at(created_at: float, **destination: Any) -> Job:
    one = job(created_at=created_at)
    return replace(one, destination=replace(one.destination, **destination))


def refusal(status: int) -> discord.HTTPException:
    response: Any = SimpleNamespace(status=status, reason="No", headers={})
    return discord.HTTPException(response, "no")


async def test_the_first_state_of_a_job_does_not_wait_for_the_progress_of_others() -> None:
    updates = Updates()
    updater, limiter, sender = updates.updater, updates.limiter, updates.sender
    first, second = (replace(job(), id=name, created_at=0.0) for name in ("first", "second"))
    for _ in range(EDITS - RESERVED):
        await limiter.acquire_for_progress(first.destination.channel_id)
    updater.show_queued(first, NEXT)
    await settled()
    assert sender.edited == [("first", "0 ahead")]
    # Further states wait, and the next job's first one does not wait for them.
    updater.show_running(first, running(1))
    await settled()
    updater.show_queued(second, NEXT)
    await settled()
    assert sender.edited == [("first", "0 ahead"), ("second", "0 ahead")]
    await updater.close()


async def test_of_several_states_only_the_newest_is_shown() -> None:
    updates, one = Updates(), job_at(0.0)
    for ahead in (3, 2, 1):
        updates.updater.show_queued(one, QueuePosition(ahead=ahead, seconds=None))
    await settled()
    assert updates.texts == ["1 ahead"]


@pytest.mark.parametrize(("accept", "shown"), [(True, "1 of 9 with a preview"), (False, "1 of 9")])
async def test_progress_is_shown_without_a_refused_preview(accept: bool, shown: str) -> None:
    updates = Updates(accept_previews=accept)
    updates.updater.show_running(job_at(0.0), running(1, PREVIEW))
    await settled()
    assert updates.texts == [shown]


async def test_progress_without_a_preview_needs_no_check() -> None:
    updates = Updates(accept_previews=False)
    updates.updater.show_running(job_at(0.0), running(2))
    await settled()
    assert updates.texts == ["2 of 9"]


@pytest.mark.parametrize(
    ("status", "shown"),
    [(404, []), (403, []), (429, []), (400, []), (500, ["1 ahead"]), (503, ["1 ahead"])],
)
async def test_progress_that_discord_refuses_is_not_repeated(
    status: int, shown: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Discord bans an address after too many refused requests. An error of a server is not one."""
    caplog.set_level("INFO", "bot.delivery.progress")
    updates, one = Updates(), job_at(0.0)
    updates.sender.errors = [refusal(status)]
    for ahead in (2, 1):
        updates.updater.show_queued(one, QueuePosition(ahead=ahead, seconds=None))
        await settled()
    assert updates.texts == shown
    [record] = caplog.records
    assert record.getMessage() == f"progress could not be shown: {status} 0 no"
    # Other jobs are not affected.
    updates.updater.show_queued(job_at(0.0), NEXT)
    await settled()
    assert updates.texts == [*shown, "0 ahead"]


async def test_after_the_answer_nothing_more_of_a_job_is_shown() -> None:
    updates, one = Updates(), job_at(0.0)
    updates.updater.show_queued(one, NEXT)
    await updates.updater.stop(one.id)
    updates.updater.show_running(one, running(1))
    await settled()
    assert updates.texts == []


@pytest.mark.parametrize(
    ("now", "destination", "route"),
    [
        (899.0, {}, DeliveryRoute.TOKEN_EDIT),
        (900.0, {}, DeliveryRoute.BOT_EDIT),
        (900.0, {"token": None, "token_expires_at": None}, DeliveryRoute.BOT_EDIT),
        (899.0, {"private": True}, DeliveryRoute.TOKEN_EDIT),
        # A private message cannot be edited any more, and progress is not worth a new message.
        (900.0, {"private": True}, None),
        (MAX_AGE, {}, DeliveryRoute.BOT_EDIT),
        # The few edits that an old message accepts are kept for the answer.
        (MAX_AGE + 1, {}, None),
    ],
)
async def test_progress_is_edited_by_the_first_route_that_is_still_open(
    now: float, destination: dict[str, Any], route: DeliveryRoute | None
) -> None:
    updates = Updates(now=now)
    updates.updater.show_queued(job_at(0.0, **{"token_expires_at": 900.0} | destination), NEXT)
    await settled()
    assert updates.sender.routes == ([] if route is None else [route])


async def test_closing_ends_the_updates_that_wait() -> None:
    updates, one = Updates(), job_at(0.0)
    for _ in range(EDITS):
        await updates.limiter.acquire_for_answer(one.destination.channel_id)
    updates.updater.show_queued(one, NEXT)
    await settled()
    await asyncio.wait_for(updates.updater.close(), 60)
    assert updates.updater._loops == {}
    assert updates.texts == []
