"""The edit rate limiter, on a clock that only its own sleeping advances."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from itertools import pairwise
from typing import Any

from bot.delivery.edit_limiter import EDITS, RESERVED, WINDOW_SECONDS, EditRateLimiter


class Clock:
    """Sleepers wake in the order of their times."""

    def __init__(self) -> None:
        self.time = 100.0
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        woken = asyncio.get_running_loop().create_future()
        self._sleepers.append((self.time + seconds, woken))
        await woken

    async def run(self, *work: Coroutine[Any, Any, None]) -> None:
        """All of the work to its end."""
        tasks = [asyncio.create_task(one) for one in work]
        while not all(task.done() for task in tasks):
            for _ in range(20):
                await asyncio.sleep(0)
            if self._sleepers:
                self._sleepers.sort(key=lambda sleeper: sleeper[0])
                self.time, woken = self._sleepers.pop(0)
                woken.set_result(None)
        for task in tasks:
            task.result()


def most_in_a_window(times: list[float]) -> int:
    return max(sum(start <= t < start + WINDOW_SECONDS for t in times) for start in times)


async def edits(
    edit_limiter: EditRateLimiter, clock: Clock, channel: int, number: int, times: list[float]
) -> None:
    for _ in range(number):
        await edit_limiter.acquire_for_progress(channel)
        times.append(clock.now())


async def test_many_messages_of_one_channel_share_its_rate_limit() -> None:
    clock, times = Clock(), list[float]()
    edit_limiter = EditRateLimiter(now=clock.now, sleep=clock.sleep)
    await clock.run(*(edits(edit_limiter, clock, 1, 10, times) for _ in range(5)))
    assert len(times) == 50
    assert most_in_a_window(times) == EDITS - RESERVED
    # Every window is used in full.
    assert times[-1] - times[0] <= 50 / (EDITS - RESERVED) * WINDOW_SECONDS


async def test_edits_are_reserved_for_answers() -> None:
    clock, times = Clock(), list[float]()
    edit_limiter = EditRateLimiter(now=clock.now, sleep=clock.sleep)
    await clock.run(edits(edit_limiter, clock, 1, EDITS - RESERVED, times))
    before = clock.now()
    for _ in range(RESERVED):
        await clock.run(edit_limiter.acquire_for_answer(1))
    assert clock.now() == before
    # The next one waits for the edits of both kinds.
    await clock.run(edit_limiter.acquire_for_answer(1))
    assert clock.now() == before + WINDOW_SECONDS


async def test_answers_keep_the_rate_limit_and_their_order() -> None:
    clock, turns = Clock(), list[tuple[float, int]]()
    edit_limiter = EditRateLimiter(now=clock.now, sleep=clock.sleep)

    async def answer(number: int) -> None:
        await edit_limiter.acquire_for_answer(1)
        turns.append((clock.now(), number))

    await clock.run(*(answer(n) for n in range(20)))
    assert [number for _, number in turns] == list(range(20))
    assert all(earlier <= later for (earlier, _), (later, _) in pairwise(turns))
    assert most_in_a_window([time for time, _ in turns]) == EDITS


async def test_an_edit_waits_exactly_until_the_window_has_room() -> None:
    clock, times = Clock(), list[float]()
    edit_limiter = EditRateLimiter(now=clock.now, sleep=clock.sleep)
    await clock.run(edits(edit_limiter, clock, 1, EDITS - RESERVED, times))
    clock.time += WINDOW_SECONDS - 0.25
    await clock.run(edits(edit_limiter, clock, 1, 1, times))
    assert times == [100.0] * (EDITS - RESERVED) + [100.0 + WINDOW_SECONDS]


async def test_other_channels_do_not_wait() -> None:
    clock, times = Clock(), list[float]()
    edit_limiter = EditRateLimiter(now=clock.now, sleep=clock.sleep)
    await clock.run(*(edits(edit_limiter, clock, channel, 1, times) for channel in range(100)))
    assert set(times) == {100.0}
    await clock.run(*(edit_limiter.acquire_for_answer(channel) for channel in range(100)))
    assert clock.now() == 100.0


async def test_idle_channels_are_removed() -> None:
    clock, times = Clock(), list[float]()
    edit_limiter = EditRateLimiter(now=clock.now, sleep=clock.sleep)
    await clock.run(*(edits(edit_limiter, clock, channel, 1, times) for channel in range(100)))
    clock.time += WINDOW_SECONDS
    await clock.run(edits(edit_limiter, clock, 1, 1, times))
    assert len(edit_limiter._channels) == 1


async def test_a_channel_in_which_an_edit_waits_is_not_removed() -> None:
    """Its edits would be counted from the beginning."""
    clock, times = Clock(), list[float]()
    edit_limiter = EditRateLimiter(now=clock.now, sleep=clock.sleep)
    await clock.run(edits(edit_limiter, clock, 1, EDITS - RESERVED, times))
    waiting = asyncio.create_task(edit_limiter.acquire_for_progress(1))
    await asyncio.sleep(0)
    clock.time += WINDOW_SECONDS
    await edit_limiter.acquire_for_progress(2)
    assert set(edit_limiter._channels) == {1, 2}
    waiting.cancel()
