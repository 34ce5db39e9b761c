"""Keeps message edits below Discord's rate limit per channel, with edits reserved for answers."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

# About 5 message edits in 5 s per channel, counted over all of a bot's messages there
# (measured by bot authors; Discord publishes no figures and sends them as headers,
# https://discord.com/developers/docs/topics/rate-limits).
EDITS = 5
WINDOW_SECONDS = 5.0
# Of these, so many are reserved for answers.
RESERVED = 2


@dataclass(slots=True)
class _Channel:
    sent: deque[float] = field(default_factory=deque)
    answers: asyncio.Lock = field(default_factory=asyncio.Lock)
    progress: asyncio.Lock = field(default_factory=asyncio.Lock)
    waiting: int = 0


class EditRateLimiter:
    """A sliding window per channel. `now` is a monotonic clock in seconds; `sleep` waits on it."""

    def __init__(
        self,
        *,
        now: Callable[[], float] | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._now = now or (lambda: asyncio.get_running_loop().time())
        self._sleep = sleep
        self._channels: dict[int, _Channel] = {}

    async def acquire_for_progress(self, channel_id: int) -> None:
        """Wait until a progress edit may be sent to the channel."""
        channel = self._channel(channel_id)
        await self._acquire(channel_id, channel, channel.progress, EDITS - RESERVED)

    async def acquire_for_answer(self, channel_id: int) -> None:
        """Wait until an answer may be sent to the channel: first come, first served, and before
        progress edits."""
        channel = self._channel(channel_id)
        await self._acquire(channel_id, channel, channel.answers, EDITS)

    async def _acquire(
        self, channel_id: int, channel: _Channel, turn: asyncio.Lock, room: int
    ) -> None:
        channel.waiting += 1
        try:
            async with turn:
                while (wait := self._seconds_until_room(channel.sent, room)) > 0:
                    await self._sleep(wait)
                channel.sent.append(self._now())
        finally:
            channel.waiting -= 1

    def _seconds_until_room(self, sent: deque[float], room: int) -> float:
        now = self._now()
        while sent and sent[0] <= now - WINDOW_SECONDS:
            sent.popleft()
        return 0.0 if len(sent) < room else sent[-room] + WINDOW_SECONDS - now

    def _channel(self, channel_id: int) -> _Channel:
        horizon = self._now() - WINDOW_SECONDS
        for idle in [
            id_
            for id_, channel in self._channels.items()
            if not channel.waiting and (not channel.sent or channel.sent[-1] <= horizon)
        ]:
            del self._channels[idle]
        return self._channels.setdefault(channel_id, _Channel())
