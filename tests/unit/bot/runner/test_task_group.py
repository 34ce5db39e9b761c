"""Background tasks: their end, their errors, their context."""

from __future__ import annotations

import asyncio
import contextvars
import logging

import pytest

from bot.runner.task_group import BackgroundTasks
from tests.support.clocks.simulated_time import in_simulated_time

WHERE = contextvars.ContextVar("WHERE", default="owner")


async def test_a_task_that_is_cancelled_before_its_first_step_is_cleaned_up() -> None:
    events: list[str] = []

    async def work() -> None:
        events.append("ran")

    tasks = BackgroundTasks(lambda: events.append("ended"))
    task = tasks.spawn(work(), "work", lambda: events.append("cleaned up"))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await asyncio.sleep(0)
    assert events == ["cleaned up", "ended"]


async def test_an_error_is_logged_with_the_name_of_the_task(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def work() -> None:
        raise RuntimeError("a bug")

    tasks = BackgroundTasks(lambda: None)
    await asyncio.wait([tasks.spawn(work(), "the work")])
    await asyncio.sleep(0)
    [record] = caplog.records
    assert record.levelno == logging.CRITICAL
    assert "the work" in record.getMessage()
    assert "a bug" in caplog.text


async def test_tasks_run_in_the_context_of_their_owner() -> None:
    seen: list[str] = []

    async def work() -> None:
        seen.append(WHERE.get())

    tasks = BackgroundTasks(lambda: None)
    WHERE.set("caller")
    await tasks.spawn(work(), "work")
    tasks.call(lambda: seen.append(WHERE.get()))
    assert seen == ["owner", "owner"]


@in_simulated_time
async def test_closing_waits_for_what_tasks_start_and_cancels_the_rest() -> None:
    finished: list[str] = []
    tasks = BackgroundTasks(lambda: None)

    async def second() -> None:
        finished.append("second")

    async def first() -> None:
        tasks.spawn(second(), "second")
        finished.append("first")

    tasks.spawn(first(), "first")
    stuck = tasks.spawn(asyncio.Event().wait(), "stuck")  # type: ignore[arg-type]
    await tasks.close(grace_seconds=60.0)
    assert finished == ["first", "second"]
    assert stuck.cancelled()
