"""Progress edits at a pace that Discord allows: newest state first, never after the answer.

Discord takes about five edits in five seconds per channel, whoever's messages they are; one of
the five is left for final answers.
https://discord.com/developers/docs/topics/rate-limits
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable

log = logging.getLogger(__name__)

WINDOW_SECONDS = 5.0
EDITS_PER_WINDOW = 4

Edit = Callable[[], Awaitable[None]]


class Pacer:
    """One line of pending edits per channel; a newer edit of a message replaces the older."""

    def __init__(self) -> None:
        self._pending: dict[int, OrderedDict[int, Edit]] = {}
        self._sent: dict[int, deque[float]] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._in_flight: dict[int, asyncio.Task[None]] = {}
        self._closed: set[int] = set()

    def offer(self, channel_id: int, message_id: int, edit: Edit) -> None:
        """Make this edit when there is room, unless a newer one or the answer comes before."""
        if message_id in self._closed:
            return
        self._pending.setdefault(channel_id, OrderedDict())[message_id] = edit
        if channel_id not in self._tasks:
            task = asyncio.create_task(self._drain(channel_id), name=f"edits {channel_id}")
            self._tasks[channel_id] = task
            task.add_done_callback(lambda _: self._tasks.pop(channel_id, None))

    async def close(self, channel_id: int, message_id: int) -> None:
        """No edit of this message after this; one that is under way has ended."""
        self._closed.add(message_id)
        self._pending.get(channel_id, OrderedDict()).pop(message_id, None)
        if (under_way := self._in_flight.get(message_id)) is not None:
            await asyncio.wait({under_way})

    def reopen(self, message_id: int) -> None:
        """The message may show progress again: what it shows is a new job."""
        self._closed.discard(message_id)

    async def stop(self) -> None:
        """Drop everything that is pending."""
        tasks = [*self._tasks.values(), *self._in_flight.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _drain(self, channel_id: int) -> None:
        loop = asyncio.get_running_loop()
        pending = self._pending[channel_id]
        sent = self._sent.setdefault(channel_id, deque())
        while pending:
            while sent and loop.time() - sent[0] >= WINDOW_SECONDS:
                sent.popleft()
            if len(sent) >= EDITS_PER_WINDOW:
                await asyncio.sleep(sent[0] + WINDOW_SECONDS - loop.time())
                continue
            message_id, edit = pending.popitem(last=False)
            sent.append(loop.time())
            task = asyncio.create_task(self._make(edit), name=f"edit {message_id}")
            self._in_flight[message_id] = task
            try:
                await asyncio.wait({task})
            finally:
                self._in_flight.pop(message_id, None)

    async def _make(self, edit: Edit) -> None:
        # A progress edit that fails is not worth repeating: the next one says more.
        with contextlib.suppress(Exception):
            await edit()
