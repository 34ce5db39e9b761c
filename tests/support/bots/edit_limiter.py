"""The limiter of message edits on a clock that is advanced instead of waited for."""

from __future__ import annotations

import asyncio

from bot.delivery.edit_limiter import EditRateLimiter


def instant_edit_limiter() -> EditRateLimiter:
    """The limiter of message edits on a clock that is advanced instead of waited for.

    Neither simcord nor the fake Discord limits the rate of edits.
    """
    passed = 0.0

    async def sleep(seconds: float) -> None:
        nonlocal passed
        passed += seconds
        await asyncio.sleep(0)

    return EditRateLimiter(now=lambda: passed, sleep=sleep)
