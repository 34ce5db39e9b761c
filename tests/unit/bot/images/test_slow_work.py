"""Slow work on pictures: one call at a time, one of each user, and a limited backlog."""

from __future__ import annotations

import asyncio
import threading

import pytest

from bot.images.slow_work import BACKLOG, SlowPictureWork, StillPreparing, TooManyPreparing


async def test_many_calls_leave_the_default_executor_free() -> None:
    gate = threading.Event()
    running, most = 0, 0

    def work() -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        gate.wait(20)
        running -= 1
        return threading.get_ident()

    async with SlowPictureWork() as slow:
        calls = [asyncio.create_task(slow.run(user, work)) for user in range(BACKLOG)]
        await asyncio.sleep(0)
        other = await asyncio.wait_for(asyncio.to_thread(threading.get_ident), 60)
        with pytest.raises(StillPreparing):
            await slow.run(0, work)
        with pytest.raises(TooManyPreparing):
            await slow.run(BACKLOG, work)
        gate.set()
        threads = set(await asyncio.gather(*calls))
        assert (len(threads), most) == (1, 1)
        assert other not in threads
        await slow.run(0, work)


async def test_a_failed_call_leaves_its_user_free() -> None:
    async with SlowPictureWork() as slow:
        with pytest.raises(ZeroDivisionError):
            await slow.run(1, lambda: 1 // 0)
        assert await slow.run(1, lambda: 2) == 2


async def test_closing_waits_for_the_running_call_and_drops_the_others() -> None:
    gate, begun = threading.Event(), threading.Event()
    ended = []

    def work() -> None:
        begun.set()
        ended.append(gate.wait(20))

    async with SlowPictureWork() as slow:
        first = asyncio.create_task(slow.run(1, work))
        second = asyncio.create_task(slow.run(2, lambda: ended.append(True)))
        assert await asyncio.to_thread(begun.wait, 60)
        asyncio.get_running_loop().call_later(0.05, gate.set)
    assert ended == [True]
    results = await asyncio.gather(first, second, return_exceptions=True)
    assert isinstance(results[1], asyncio.CancelledError)
