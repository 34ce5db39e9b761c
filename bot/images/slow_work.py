"""Runs work on pictures that takes seconds on one thread, with a limit for each user."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self, TypeVar

from bot.errors import RequestError, UnavailableError

T = TypeVar("T")

BACKLOG = 10
"""Calls that wait or run. Enlarging a picture takes up to 10 s (docs/benchmarks.md, "Larger"), so
that the last one waits for about 100 s."""


class StillPreparing(RequestError):
    """A picture of this user waits or is being made."""

    text = "I am still preparing another picture for you. Please try again when it is here."


class TooManyPreparing(UnavailableError):
    """`BACKLOG` is reached."""

    text = "I am preparing many pictures at the moment. Please try again in a minute."


class SlowPictureWork:
    """`async with SlowPictureWork() as work`. Its thread is not one of the event loop's default
    executor, so that other work does not wait for it; one call at a time bounds the memory."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="slow-picture-work")
        self._users: set[int] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Drop the calls that wait, and wait for the one that runs."""
        await asyncio.to_thread(self._executor.shutdown, cancel_futures=True)

    async def run(self, user_id: int, function: Callable[[], T]) -> T:
        """The result of the function, which is called when those before it have ended.

        Raises:
            StillPreparing: an earlier call of this user has not ended.
            TooManyPreparing: too many calls wait.
        """
        if user_id in self._users:
            raise StillPreparing
        if len(self._users) >= BACKLOG:
            raise TooManyPreparing
        self._users.add(user_id)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, function)
        finally:
            self._users.discard(user_id)
