"""The fair order of waiting jobs, in memory; rebuilt from the store at every start.

Start-time fair queueing over users: each job gets a virtual start time, and the job with the
smallest one is next. A user's next job starts, in virtual time, when their last one has finished:
after its cost divided by the user's weight. A large job therefore delays its user's next job more
than a small one, and a user who joins late starts at the present virtual time.

P. Goyal, H. M. Vin, H. Cheng: "Start-time Fair Queueing: A Scheduling Algorithm for Integrated
Services Packet Switching Networks", IEEE/ACM Transactions on Networking 5(5), 1997.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from bot.jobs.job import Job


@dataclass(slots=True)
class _UserQueue:
    """`start` is the virtual start time of the first job; `number` orders users with equal ones."""

    start: float
    number: float
    jobs: deque[Job] = field(default_factory=deque)


class FairQueue:
    """The waiting jobs in their order, and the running ones. `cost` is the work of a job."""

    def __init__(self, cost: Callable[[Job], float] = lambda job: job.cost) -> None:
        self._cost = cost
        self._first: deque[Job] = deque()
        self._users: dict[int, _UserQueue] = {}
        self._virtual_time = 0.0
        # When the last job of a user without waiting jobs finishes, in virtual time.
        self._finish: dict[int, float] = {}
        # How many times a user without waiting jobs has added one.
        self._arrivals = 0
        self._running: dict[str, Job] = {}
        self._order: list[Job] | None = None

    def __len__(self) -> int:
        return len(self._first) + sum(len(user.jobs) for user in self._users.values())

    def add(self, job: Job) -> None:
        """Add a job after the same user's other jobs."""
        user = self._users.get(job.user_id)
        if user is None:
            self._arrivals += 1
            user = _UserQueue(self._start_of_new(job.user_id), self._arrivals)
            self._users[job.user_id] = user
            self._finish.pop(job.user_id, None)
        user.jobs.append(job)
        self._order = None

    def add_first(self, job: Job) -> None:
        """Add a job before all others: it had its turn already."""
        self._first.appendleft(job)
        self._order = None

    def pop(self, eligible: Callable[[Job], bool] = lambda _job: True) -> Job | None:
        """Take the next eligible job; it counts as running from now on. None if no job is eligible.

        A job that is not eligible, because its model has no free slot, delays no other one.
        """
        job = self._take(eligible)
        if job is not None:
            self._order = None
            self._running[job.id] = job
        return job

    def remove(self, job_id: str) -> Job | None:
        """Remove a waiting job; None if it does not wait."""
        for jobs in (self._first, *(user.jobs for user in self._users.values())):
            for job in jobs:
                if job.id == job_id:
                    jobs.remove(job)
                    self._drop_empty(job.user_id)
                    self._order = None
                    return job
        return None

    @property
    def running(self) -> tuple[Job, ...]:
        """The jobs that were started and have not ended."""
        return tuple(self._running.values())

    def done(self, job_id: str) -> None:
        """The job no longer runs."""
        self._running.pop(job_id, None)

    def order(self) -> list[Job]:
        """The waiting jobs in the order in which they would start if none came or went."""
        if self._order is None:
            self._order = [*self._first, *_drain(self._copies(), self._cost)]
        return self._order

    def order_with(self, job: Job) -> list[Job]:
        """The order if the job were added now."""
        users = {user.number: user for user in self._copies()}
        own = self._users.get(job.user_id)
        number = own.number if own else math.inf
        new = users.setdefault(number, _UserQueue(self._start_of_new(job.user_id), number))
        new.jobs.append(job)
        return [*self._first, *_drain(list(users.values()), self._cost)]

    def _start_of_new(self, user_id: int) -> float:
        return max(self._virtual_time, self._finish.get(user_id, 0.0))

    def _copies(self) -> list[_UserQueue]:
        return [replace(user, jobs=user.jobs.copy()) for user in self._users.values()]

    def _take(self, eligible: Callable[[Job], bool]) -> Job | None:
        for job in self._first:
            if eligible(job):
                self._first.remove(job)
                return job
        next_jobs = (
            (user, next(filter(eligible, user.jobs), None)) for user in self._users.values()
        )
        candidates = [(user, job) for user, job in next_jobs if job is not None]
        if not candidates:
            return None
        user, job = min(candidates, key=lambda each: (each[0].start, each[0].number))
        user.jobs.remove(job)
        # A user whose jobs were not eligible may have an earlier start.
        self._virtual_time = max(self._virtual_time, user.start)
        user.start += self._cost(job) / job.weight
        self._drop_empty(job.user_id)
        return job

    def _drop_empty(self, user_id: int) -> None:
        user = self._users.get(user_id)
        if user is not None and not user.jobs:
            self._finish[user_id] = user.start
            del self._users[user_id]
        if not self._users:
            # No user waits, so none has to be held back.
            self._virtual_time = 0.0
            self._finish.clear()


def _drain(users: list[_UserQueue], cost: Callable[[Job], float]) -> Iterator[Job]:
    """Take all jobs out of `users`, in order."""
    heap = [(user.start, user.number, user) for user in users]
    heapq.heapify(heap)
    while heap:
        start, number, user = heap[0]
        job = user.jobs.popleft()
        yield job
        if user.jobs:
            heapq.heapreplace(heap, (start + cost(job) / job.weight, number, user))
        else:
            heapq.heappop(heap)
