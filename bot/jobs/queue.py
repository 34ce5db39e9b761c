"""The fair order of waiting jobs, in memory; rebuilt from the store at every start.

Weighted round robin over people: in every round each person with waiting jobs has as many turns as
their weight, in one go; a person's own jobs keep their order.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from bot.errors import RequestError, UnavailableError
from bot.i18n.translate import WaitTime
from bot.jobs.estimate import StepTimeEstimator
from bot.jobs.job import Job, QueuePosition

# An interaction token lives for 15 minutes and a private answer needs it; two are kept in hand.
PRIVATE_SECONDS = 13 * 60


class QueueFull(UnavailableError):
    """The whole queue is at its limit."""

    text = "So many pictures are waiting that I take no more just now: try again in {wait}."


class UserQueueLimitReached(RequestError):
    """The person's own limit."""

    text = (
        "You have {count} pictures waiting already, which is as many as one person may have: "
        "the next one should be done in {wait}."
    )


class TooSlowForPrivate(UnavailableError):
    """The answer would come after the only way to give it has closed."""

    text = (
        "The queue is too long for a private picture just now (about {wait}): "
        "ask without `private`, or try again later."
    )


@dataclass(slots=True)
class _UserQueue:
    weight: int = 1
    turns: int = 1
    jobs: deque[Job] = field(default_factory=deque)


class FairQueue:
    """At most `limit` jobs wait; of one person `limit_per_person` wait or run."""

    def __init__(self, *, limit: int = 200, limit_per_user: int = 5) -> None:
        self._limit = limit
        self._limit_per_user = limit_per_user
        # The first is whose turn it is.
        self._user_queues: OrderedDict[int, _UserQueue] = OrderedDict()
        self._running: dict[str, Job] = {}
        self._steps_left: dict[str, list[int]] = {}
        self._order: list[Job] | None = None
        self.estimator = StepTimeEstimator()
        self.slots = 1

    def __len__(self) -> int:
        return sum(len(user.jobs) for user in self._user_queues.values())

    def check(self, job: Job) -> None:
        """Whether the job may be added.

        Raises:
            QueueFull, TooManyOfYours, TooSlowForPrivate: it may not.
        """
        waiting = self.order()
        if len(waiting) >= self._limit:
            raise QueueFull(wait=WaitTime(self._seconds_until_free(None)))
        own = sum(other.user_id == job.user_id for other in [*self.running, *waiting])
        if own >= self._limit_per_user:
            raise UserQueueLimitReached(
                count=own, wait=WaitTime(self._seconds_until_free(job.user_id))
            )
        if job.destination.private:
            seconds = self.position_of_new(job).seconds
            if seconds is not None and seconds > PRIVATE_SECONDS:
                raise TooSlowForPrivate(wait=WaitTime(seconds))

    def add(self, job: Job) -> None:
        """Behind the same person's other jobs."""
        user = self._user_queues.setdefault(job.user_id, _UserQueue(turns=job.weight))
        user.weight = job.weight
        user.jobs.append(job)
        self._order = None

    def add_first(self, job: Job) -> None:
        """Before everything else: it had its turn already."""
        user = self._user_queues.setdefault(job.user_id, _UserQueue())
        user.jobs.appendleft(job)
        user.turns += 1
        self._user_queues.move_to_end(job.user_id, last=False)
        self._order = None

    def pop(self) -> Job | None:
        """The job whose turn it is, which is running from now on."""
        job = next(_turns(self._user_queues), None)
        if job is not None:
            self._order = None
            self._running[job.id] = job
            self._steps_left[job.id] = [
                job.steps_of(v) if v.result is None else 0 for v in job.variants
            ]
        return job

    def remove(self, job_id: str) -> Job | None:
        """Take a waiting job out; None if it does not wait."""
        for user_id, user in self._user_queues.items():
            for job in user.jobs:
                if job.id == job_id:
                    user.jobs.remove(job)
                    if not user.jobs:
                        del self._user_queues[user_id]
                    self._order = None
                    return job
        return None

    @property
    def running(self) -> tuple[Job, ...]:
        """The jobs that were begun and are not done."""
        return tuple(self._running.values())

    def stepped(self, job_id: str, variant: int, left: int) -> None:
        """A running job's variant has `left` steps to go."""
        self._steps_left[job_id][variant] = left

    def done(self, job_id: str) -> None:
        """The job runs no more."""
        self._running.pop(job_id, None)
        self._steps_left.pop(job_id, None)

    def order(self) -> list[Job]:
        """The waiting jobs as they would be begun if nobody came or went."""
        if self._order is None:
            copies = OrderedDict(
                (user_id, _UserQueue(user.weight, user.turns, user.jobs.copy()))
                for user_id, user in self._user_queues.items()
            )
            self._order = list(_turns(copies))
        return self._order

    def position_of_new(self, job: Job) -> QueuePosition:
        """Where the job would stand if it were added now."""
        user_queues = OrderedDict(
            (user_id, _UserQueue(user.weight, user.turns, user.jobs.copy()))
            for user_id, user in self._user_queues.items()
        )
        user_queues.setdefault(job.user_id, _UserQueue(job.weight, job.weight)).jobs.append(job)
        order = list(_turns(user_queues))
        index = next(n for n, other in enumerate(order) if other.id == job.id)
        finish = self._finish_times(order[: index + 1])
        return QueuePosition(ahead=index, seconds=finish[-1] if finish else None)

    def seconds_left(self, job_id: str) -> float | None:
        """Until a running job is done, its variants side by side as far as the slots go."""
        left = [steps for steps in self._steps_left.get(job_id, ()) if steps]
        seconds = [self.estimator.seconds(steps) for steps in left]
        if any(each is None for each in seconds):
            return None
        known = [each for each in seconds if each is not None]
        return max([*known, sum(known) / self.slots], default=0.0)

    def positions(self) -> dict[str, QueuePosition]:
        """Every waiting job's place, in their order."""
        order = self.order()
        finish = self._finish_times(order)
        return {
            job.id: QueuePosition(ahead=n, seconds=finish[n] if finish else None)
            for n, job in enumerate(order)
        }

    def _finish_times(self, order: list[Job]) -> list[float] | None:
        running = [steps for left in self._steps_left.values() for steps in left if steps]
        return self.estimator.finish_times(running, order, self.slots)

    def _seconds_until_free(self, user_id: int | None) -> float | None:
        """Until the first job (of that person) is done."""
        running = [
            self.seconds_left(job.id)
            for job in self._running.values()
            if user_id in (None, job.user_id)
        ]
        order = self.order()
        finish = self._finish_times(order)
        if finish is None or None in running:
            return None
        waiting = [
            seconds
            for job, seconds in zip(order, finish, strict=True)
            if user_id in (None, job.user_id)
        ]
        return min([*(left for left in running if left is not None), *waiting], default=0.0)


def _turns(user_queues: OrderedDict[int, _UserQueue]) -> Iterator[Job]:
    """Take jobs out of `people`, one a turn, until none is left."""
    while user_queues:
        user_id, user = next(iter(user_queues.items()))
        job = user.jobs.popleft()
        user.turns -= 1
        if not user.jobs:
            del user_queues[user_id]
        elif user.turns <= 0:
            user.turns = user.weight
            user_queues.move_to_end(user_id)
        yield job
