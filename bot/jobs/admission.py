"""Admission: whether a new request may join the queue, decided before its source is fetched."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from weakref import WeakValueDictionary

from bot.errors import RequestError, UnavailableError
from bot.i18n.durations import WaitTime
from bot.jobs.estimate import JobEstimates
from bot.jobs.job import Job
from bot.jobs.queue import FairQueue

# An interaction token is valid for 15 minutes and a private answer needs it; two are reserved.
PRIVATE_SECONDS = 13 * 60


class QueueFull(UnavailableError):
    """The whole queue is at its limit."""

    text = "The queue is full. Try again in {wait}."


class UserQueueLimitReached(RequestError):
    """The user's own limit is reached."""

    text = (
        "You have {count} {count:picture|pictures} waiting or being drawn, "
        "and at most {limit} {limit:is|are} allowed. "
        "The next one should be finished in {wait}."
    )


class TooManyPictures(RequestError):
    """A single request exceeds the user's limit."""

    text = (
        "At most {limit} {limit:picture|pictures} per user {limit:is|are} allowed here at a time."
    )


class TooSlowForPrivate(UnavailableError):
    """The answer would come after the interaction token has expired."""

    text = (
        "The queue is too long for a private picture now (about {wait}). "
        "Ask without `private`, or try again later."
    )


class ErasedMeanwhile(RequestError):
    """The user's data was erased while the request was prepared."""

    text = "Your data was deleted while this request was prepared. Please send it again."


@dataclass(eq=False, slots=True)
class Reservation:
    """A place for the pictures of one request. `revoked` when the user's data was erased."""

    user_id: int
    pictures: int
    revoked: bool = False


class Admission:
    """Counts pictures: at most `limit` wait; at most `limit_per_user` of one user wait or run.

    Reserved places count, too.
    """

    def __init__(
        self,
        queue: FairQueue,
        estimates: JobEstimates,
        *,
        limit: int,
        limit_per_user: int,
    ) -> None:
        self._queue = queue
        self._estimates = estimates
        self._limit = limit
        self._limit_per_user = limit_per_user
        self._reservations: set[Reservation] = set()
        self._preparing: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def place(self, user_id: int, pictures: int) -> AsyncIterator[Reservation]:
        """Reserve a place until the block is left. A user's requests are prepared one at a time:
        the second one waits here.

        Raises:
            QueueFull, UserQueueLimitReached, TooManyPictures: there is no room.
        """
        reservation = self.reserve(user_id, pictures)
        # The dictionary holds a lock as long as a request uses it.
        lock = self._preparing.setdefault(user_id, asyncio.Lock())
        try:
            async with lock:
                yield reservation
        finally:
            self.release(reservation)

    def reserve(self, user_id: int, pictures: int) -> Reservation:
        """Reserve a place. Release it when the job is in the queue, or when there is none.

        Raises:
            QueueFull, UserQueueLimitReached, TooManyPictures: there is no room.
        """
        if pictures > self._limit_per_user:
            raise TooManyPictures(limit=self._limit_per_user)
        waiting = self._queue.order()
        reserved = sum(place.pictures for place in self._reservations)
        if _pictures(waiting) + reserved + pictures > self._limit:
            raise QueueFull(wait=WaitTime(self._estimates.seconds_until_free()))
        own = _pictures(
            [job for job in (*self._queue.running, *waiting) if job.user_id == user_id]
        ) + sum(place.pictures for place in self._reservations if place.user_id == user_id)
        if own + pictures > self._limit_per_user:
            wait = WaitTime(self._estimates.seconds_until_free(user_id))
            raise UserQueueLimitReached(count=own, limit=self._limit_per_user, wait=wait)
        reservation = Reservation(user_id, pictures)
        self._reservations.add(reservation)
        return reservation

    def release(self, reservation: Reservation) -> None:
        """Free a place; may be called again."""
        self._reservations.discard(reservation)

    def revoke(self, user_id: int) -> None:
        """The user's data is being erased: their requests under way are not accepted."""
        for reservation in self._reservations:
            if reservation.user_id == user_id:
                reservation.revoked = True

    def check(self, job: Job, reservation: Reservation) -> None:
        """Check that the job, for which there is a place, may be added now.

        Raises:
            TooSlowForPrivate, ErasedMeanwhile: it may not.
        """
        if reservation.revoked:
            raise ErasedMeanwhile
        if job.destination.private:
            seconds = self._estimates.position_of_new(job).seconds
            if seconds is not None and seconds > PRIVATE_SECONDS:
                raise TooSlowForPrivate(wait=WaitTime(seconds))


def _pictures(jobs: list[Job]) -> int:
    return sum(len(job.missing) for job in jobs)
