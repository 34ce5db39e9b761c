"""The states that a message shows, and results that a check refuses at the place of posting."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import discord
import pytest

from bot.delivery import delivery
from bot.images.picture import Picture
from bot.jobs.failures import JobFailure, ResultNotChecked, ResultRefused
from bot.jobs.job import JobProgress, JobState, QueuePosition
from tests.support.bots.delivery_fixture import EDIT_TOKEN, Case
from tests.support.checks import NoChecks
from tests.support.fake_discord.objects import Refusal


async def test_a_message_shows_the_position_the_progress_and_the_answer(case: Case) -> None:
    job = await case.made_job()
    message = case.discord_state.messages[job.destination.message_id]
    shown = case.delivery()

    async def until(text: str) -> None:
        async with asyncio.timeout(60):
            while message.text != text:
                case.discord_state.changed.clear()
                await case.discord_state.changed.wait()

    shown.show_queued(job, QueuePosition(ahead=0, seconds=None))
    await until(f"queued {job.id} behind 0")
    shown.show_running(job, JobProgress(step=1, total=2, seconds_left=None))
    await until(f"running {job.id} step 1")
    await shown.deliver(job)
    # After the answer no state is shown.
    shown.show_running(job, JobProgress(step=2, total=2, seconds_left=None))
    await shown.close()
    assert [text for _, text in message.shown] == [
        f"queued {job.id} behind 0",
        f"running {job.id} step 1",
        f"answer made {job.id}",
    ]


async def test_an_answer_waits_for_the_edit_that_is_being_sent(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await case.made_job()
    # Its answer has no picture, so that nothing else is waited for before it is sent.
    job = await case.fixture.bot.store.fail(made.id, "No.")
    message = case.discord_state.messages[job.destination.message_id]
    edit, begun, go_on = discord.Webhook.edit_message, asyncio.Event(), asyncio.Event()

    async def wait_first(*arguments: Any, **options: Any) -> Any:
        begun.set()
        await go_on.wait()
        return await edit(*arguments, **options)

    monkeypatch.setattr(discord.Webhook, "edit_message", wait_first)
    edits: list[str] = []
    case.fixture.failpoint = edits.append
    shown = case.delivery()
    shown.show_running(job, JobProgress(step=1, total=2, seconds_left=None))
    async with asyncio.timeout(60):
        await begun.wait()
        # This state is outdated once there is an answer.
        shown.show_running(job, JobProgress(step=2, total=2, seconds_left=None))
        delivering = asyncio.create_task(shown.deliver(job))
        for _ in range(8):
            await asyncio.sleep(0)
        assert edits == ["before edit"]
        go_on.set()
        await delivering
    assert edits == ["before edit", "after edit"] * 2
    assert [text for _, text in message.shown] == [
        f"running {job.id} step 1",
        f"answer failed {job.id}: No.",
    ]


@dataclass
class PostChecks(NoChecks):
    """Refuses every stored picture with `failure`, and records where it would be posted."""

    failure: JobFailure | None = None
    asked: list[tuple[int | None, int]] = field(default_factory=list)

    async def check_post(self, picture: Picture, guild_id: int | None, channel_id: int) -> None:
        self.asked.append((guild_id, channel_id))
        if self.failure is not None:
            raise self.failure


@pytest.mark.parametrize(
    ("failure", "case_id"), [(ResultRefused(17), 17), (ResultNotChecked(), None)]
)
async def test_a_result_that_may_not_be_posted_is_a_sentence_that_can_be_appealed(
    case: Case, failure: JobFailure, case_id: int | None, caplog: pytest.LogCaptureFixture
) -> None:
    case.checks = PostChecks(failure)
    job = await case.made_job()
    await case.deliver(job)
    [answer] = case.answers()
    assert answer.text == f"answer failed {job.id}: {failure}"
    assert answer.files == {}
    after = await case.state(job)
    assert (after.state, after.case_id) == (JobState.FAILED, case_id)
    logged = [record.getMessage() for record in caplog.records if record.name == delivery.__name__]
    assert logged == [f"the answer: {type(failure).__name__}"]


async def test_a_result_is_checked_for_each_place_where_it_is_posted(case: Case) -> None:
    """A direct message has a channel of its own, with the rules of ordinary channels."""
    checks = PostChecks()
    case.checks = checks
    job = await case.made_job(private=True)
    case.discord.faults[EDIT_TOKEN] = [Refusal(404, 10015, "Unknown webhook")]
    await case.deliver(job)
    assert checks.asked == [(7, case.channel), (None, 0)]
    [answer] = case.answers()
    assert case.discord_state.dm_channels[answer.channel_id] == case.user
