"""When jobs are started, and answers that an erasure interrupts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import discord
import pytest

from bot.jobs.job import Job
from bot.runner import demand, status_watch
from bot.runner import runner as module
from inference import (
    ImageRequest,
    ImageResult,
    ModelState,
    ModelStatus,
    ModelUnavailable,
    Progress,
    ServiceStatus,
)
from tests.support.bots.running_bot import READY, Engine, RunningBot, open_running_bot
from tests.support.fake_discord.state import DiscordState


def models(slots: int) -> tuple[ModelStatus, ...]:
    """The default model, and a second one with that number of slots."""
    return (
        ModelStatus(name="first", state=ModelState.LOADED, slots=1),
        ModelStatus(name="second", state=ModelState.LOADED, slots=slots),
    )


@dataclass
class ReportingEngine(Engine):
    """An engine whose progress the test reports."""

    reports: list[Callable[[Progress], None]] = field(default_factory=list)

    async def generate(
        self, request: ImageRequest, on_progress: Callable[[Progress], None] | None = None
    ) -> ImageResult:
        assert on_progress is not None
        self.reports.append(on_progress)
        return await super().generate(request, on_progress)


async def settled() -> None:
    for _ in range(8):
        await asyncio.sleep(0)


def running_ids(running_bot: RunningBot) -> set[str]:
    return {job.id for job in running_bot.bot.runner.running}


async def ask_second_model(running_bot: RunningBot, engine: Engine) -> list[Job]:
    """Two requests of the second model, of which the engine has the first one."""
    jobs = [replace(await running_bot.job(user), model="second") for user in (1, 2)]
    for job in jobs:
        await running_bot.bot.runner.accept(job)
    await engine.until(lambda: len(engine.inside) == 1)
    return jobs


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (replace(READY, slots=1), replace(READY, slots=2)),
        # `slots` of the status is the number of the default model.
        (replace(READY, slots=1, models=models(1)), replace(READY, slots=1, models=models(2))),
    ],
    ids=["one model", "two models"],
)
async def test_a_batch_that_grew_is_filled_when_a_step_is_reported(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    before: ServiceStatus,
    after: ServiceStatus,
) -> None:
    # Nothing else looks at the status.
    monkeypatch.setattr(status_watch, "POLL_SECONDS", 3600.0)
    monkeypatch.setattr(demand, "REPORT_SECONDS", 3600.0)
    engine = ReportingEngine(before)
    engine.gate.clear()
    async with open_running_bot(tmp_path, engine) as running_bot:
        jobs = await ask_second_model(running_bot, engine)
        # The engine reports the start.
        await settled()
        engine.status = after
        await settled()
        assert running_ids(running_bot) == {jobs[0].id}
        engine.reports[0](Progress(id=engine.begun[0], step=1, total=2))
        await settled()
        assert running_ids(running_bot) == {job.id for job in jobs}
        engine.gate.set()
        await running_bot.idle()


async def test_a_batch_that_grew_is_filled_without_a_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Of the loops that look at the status, only this one does.
    monkeypatch.setattr(status_watch, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(demand, "REPORT_SECONDS", 3600.0)
    engine = Engine(replace(READY, slots=1, models=models(1)))
    engine.gate.clear()
    async with open_running_bot(tmp_path, engine) as running_bot:
        jobs = await ask_second_model(running_bot, engine)
        await settled()
        assert running_ids(running_bot) == {jobs[0].id}
        engine.status = replace(READY, slots=1, models=models(2))
        await engine.until(lambda: len(engine.inside) == 2)
        engine.gate.set()
        await running_bot.idle()


async def test_jobs_are_erased_after_the_retention_time(tmp_path: Path) -> None:
    state = DiscordState()
    async with open_running_bot(tmp_path, discord_state=state) as running_bot:
        job = await running_bot.ask(1)
        await running_bot.idle()
        late = await running_bot.job(2)
        state.offset += 23 * 3600
        await running_bot.bot.runner.accept(late)
        await running_bot.idle()
    state.offset += 3601
    async with open_running_bot(tmp_path, discord_state=state) as running_bot:
        async with asyncio.timeout(60):
            while await running_bot.bot.store.job(job.id):  # noqa: ASYNC110 - no event for it
                await asyncio.sleep(0.01)
        assert await running_bot.bot.store.job(late.id)


async def until_answered(running_bot: RunningBot, job: Job) -> None:
    changed = running_bot.discord.discord_state.changed
    async with asyncio.timeout(60):
        while not running_bot.answers(job):
            changed.clear()
            await changed.wait()


async def test_after_the_model_failed_no_job_is_started(tmp_path: Path) -> None:
    engine = Engine(replace(READY, slots=2))
    ended: set[str] = set()
    engine.may_end = lambda id_: id_ in ended
    async with open_running_bot(tmp_path, engine) as running_bot:
        runner = running_bot.bot.runner
        failing, other = [await running_bot.ask(user) for user in (1, 2)]
        engine.errors = {failing.id: ModelUnavailable("It died three times.")}
        begun = {f"{failing.id}-0-1", f"{other.id}-0-1"}
        await engine.until(lambda: engine.inside == begun)
        failed = runner._runs[failing.id]
        ended.add(f"{failing.id}-0-1")
        await engine.tell()
        await asyncio.wait({failed}, timeout=60)
        # There is a free slot.
        late = await running_bot.ask(3)
        await settled()
        assert running_ids(running_bot) == {other.id}
        # A request that ends well does not change it.
        ended.add(f"{other.id}-0-1")
        await engine.tell()
        await until_answered(running_bot, other)
        await settled()
        assert running_ids(running_bot) == set()
        assert [job.id for job in runner.queue.order()] == [failing.id, late.id]
        assert set(engine.begun) == begun
        assert len(engine.begun) == 2


async def test_an_erasure_ends_an_answer_that_does_not_arrive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ERASE_WAIT_SECONDS", 0.0)
    sent, interrupted = asyncio.Event(), asyncio.Event()
    edit = discord.Webhook.edit_message

    async def hang(webhook: discord.Webhook, message_id: int, **options: Any) -> Any:
        texts = [each.content for each in options["view"].children if hasattr(each, "content")]
        if not texts[0].startswith("answer"):
            return await edit(webhook, message_id, **options)
        sent.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            interrupted.set()
            raise

    monkeypatch.setattr(discord.Webhook, "edit_message", hang)
    async with open_running_bot(tmp_path) as running_bot:
        job = await running_bot.ask(1)
        async with asyncio.timeout(60):
            await sent.wait()
        assert await running_bot.bot.runner.erase(1) == 1
        assert interrupted.is_set()
        await running_bot.idle()
        assert running_bot.answers(job) == []
        assert await running_bot.bot.store.jobs_of(1) == []
