"""The fair order of waiting jobs, in memory; rebuilt from the store at every start.

Weighted round robin over users: in each round every user with waiting jobs has as many turns as
their weight, one after the other. A user's own jobs keep their order.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from bot.jobs.job import Job


@dataclass(slots=True)
class _UserQueue:
    weight: int = 1
    turns: int = 1
    jobs: deque[Job] = field(default_factory=deque)


class FairQueue:
    """The waiting jobs in their order, and the running ones."""

    def __init__(self) -> None:
        # The first user has the next turn.
        self._users: OrderedDict[int, _UserQueue] = OrderedDict()
        self._running: dict[str, Job] = {}
        self._order: list[Job] | None = None

    def __len__(self) -> int:
        return sum(len(user.jobs) for user in self._users.values())

    def add(self, job: Job) -> None:
        """Add a job after the same user's other jobs."""
        user = self._users.setdefault(job.user_id, _UserQueue(turns=job.weight))
        user.weight = job.weight
        user.jobs.append(job)
        self._order = None

    def add_first(self, job: Job) -> None:
        """Add a job before all others: it had its turn already."""
        user = self._users.setdefault(job.user_id, _UserQueue())
        user.jobs.appendleft(job)
        user.turns += 1
        self._users.move_to_end(job.user_id, last=False)
        self._order = None

    def pop(self) -> Job | None:
        """Take the next job; it counts as running from now on. None if no job waits."""
        job = next(_turns(self._users), None)
        if job is not None:
            self._order = None
            self._running[job.id] = job
        return job

    def remove(self, job_id: str) -> Job | None:
        """Remove a waiting job; None if it does not wait."""
        for user_id, user in self._users.items():
            for job in user.jobs:
                if job.id == job_id:
                    user.jobs.remove(job)
                    if not user.jobs:
                        del self._users[user_id]
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
            self._order = list(_turns(self._copy()))
        return self._order

    def order_with(self, job: Job) -> list[Job]:
        """The order if the job were added now."""
        users = self._copy()
        users.setdefault(job.user_id, _UserQueue(job.weight, job.weight)).jobs.append(job)
        return list(_turns(users))

    def _copy(self) -> OrderedDict[int, _UserQueue]:
        return OrderedDict(
            (user_id, _UserQueue(user.weight, user.turns, user.jobs.copy()))
            for user_id, user in self._users.items()
        )


def _turns(users: OrderedDict[int, _UserQueue]) -> Iterator[Job]:
    """Take jobs out of `users`, one per turn, until none is left."""
    while users:
        user_id, user = next(iter(users.items()))
        job = user.jobs.popleft()
        user.turns -= 1
        if not user.jobs:
            del users[user_id]
        elif user.turns <= 0:
            user.turns = user.weight
            users.move_to_end(user_id)
        yield job
