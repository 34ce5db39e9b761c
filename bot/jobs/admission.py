"""Admission: whether a new job may join the queue."""

from __future__ import annotations

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
        "You have {count} pictures waiting already, and no more are allowed. "
        "The next one should be finished in {wait}."
    )


class TooSlowForPrivate(UnavailableError):
    """The answer would come after the interaction token has expired."""

    text = (
        "The queue is too long for a private picture now (about {wait}). "
        "Ask without `private`, or try again later."
    )


class Admission:
    """At most `limit` jobs wait; at most `limit_per_user` jobs of one user wait or run."""

    def __init__(
        self,
        queue: FairQueue,
        estimates: JobEstimates,
        *,
        limit: int = 200,
        limit_per_user: int = 5,
    ) -> None:
        self._queue = queue
        self._estimates = estimates
        self._limit = limit
        self._limit_per_user = limit_per_user

    def check(self, job: Job) -> None:
        """Check that the job may be added.

        Raises:
            QueueFull, UserQueueLimitReached, TooSlowForPrivate: it may not.
        """
        waiting = self._queue.order()
        if len(waiting) >= self._limit:
            raise QueueFull(wait=WaitTime(self._estimates.seconds_until_free()))
        own = sum(other.user_id == job.user_id for other in [*self._queue.running, *waiting])
        if own >= self._limit_per_user:
            wait = WaitTime(self._estimates.seconds_until_free(job.user_id))
            raise UserQueueLimitReached(count=own, wait=wait)
        if job.destination.private:
            seconds = self._estimates.position_of_new(job).seconds
            if seconds is not None and seconds > PRIVATE_SECONDS:
                raise TooSlowForPrivate(wait=WaitTime(seconds))
