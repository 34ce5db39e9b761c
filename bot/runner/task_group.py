"""The runner's background tasks: owned, named, their errors logged, stopped with a grace period."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from bot.logs.job_context import CURRENT_JOB

log = logging.getLogger(__name__)


class BackgroundTasks:
    """Tasks that outlive the caller that starts them. `on_end` is called after each one's end."""

    def __init__(self, on_end: Callable[[], None]) -> None:
        self._on_end = on_end
        self._tasks: set[asyncio.Task[None]] = set()
        self._context = contextvars.copy_context()

    def spawn(
        self,
        work: Coroutine[Any, Any, None],
        name: str,
        clean_up: Callable[[], object] | None = None,
        *,
        job_id: str = "",
    ) -> asyncio.Task[None]:
        """Start a task in the owner's context, not in the caller's. `job_id` is in its log lines.

        `clean_up` is called at its end in any case: a task that is cancelled before its first step
        never enters a `finally` of its own.
        """
        context = self._context.copy()
        context.run(CURRENT_JOB.set, job_id)
        task = asyncio.get_running_loop().create_task(work, name=name, context=context)
        self._tasks.add(task)
        if clean_up is not None:
            task.add_done_callback(lambda _: clean_up())
        task.add_done_callback(self._ended, context=context)
        return task

    def call(self, function: Callable[..., None], *args: object) -> None:
        """Call a function in the owner's context: tasks that it starts do not belong to the
        caller."""
        self._context.copy().run(function, *args)

    async def close(self, grace_seconds: float) -> None:
        """Wait for the tasks, and for those that they start, then cancel what is left."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_seconds):
                while self._tasks:
                    await asyncio.wait(self._tasks)
        late = list(self._tasks)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._on_end()
        if not task.cancelled() and (error := task.exception()):
            log.critical(
                "%s failed; it is retried at the next start", task.get_name(), exc_info=error
            )
