"""Who is next: fair between people, in order for each, within limits, with an honest estimate."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator

from bot.errors import RequestError, UnavailableError
from bot.jobs.job import Job, Place

# How much a new measurement moves the seconds per step.
SMOOTHING = 0.2
# A private answer can only be edited while its interaction token lives: 15 minutes; two are kept
# for decoding, uploading and retrying.
PRIVATE_SECONDS = 13 * 60


class QueueFull(UnavailableError):
    """The whole queue is at its limit."""

    text = "So many pictures are waiting that I take no more just now: try again in {minutes} min."


class TooManyOfYours(RequestError):
    """The person's own limit."""

    text = "You have {count} pictures waiting already; ask again when one of them is done."


class TooSlowForPrivate(UnavailableError):
    """The answer would come after the only way to give it has closed."""

    text = (
        "The queue is too long for a private picture just now (about {minutes} min): "
        "ask without `private`, or try again later."
    )


class FairQueue:
    """Weighted round robin over people: in each round a person gets `weight` jobs."""

    def __init__(self, *, limit: int = 200, limit_per_person: int = 5) -> None:
        self._limit = limit
        self._limit_per_person = limit_per_person
        # People in the order of their turns; whoever has had theirs goes to the end.
        self._people: OrderedDict[int, deque[Job]] = OrderedDict()
        self._credit: dict[int, int] = {}
        self.seconds_per_step: float | None = None

    def __len__(self) -> int:
        return sum(len(jobs) for jobs in self._people.values())

    def admit(self, job: Job, *, running: int, slots: int) -> None:
        """Refuse the job if it may not join; `running` of the person's jobs have left the line.

        Raises:
            QueueFull, TooManyOfYours, TooSlowForPrivate: with a sentence.
        """
        own = len(self._people.get(job.user_id, ())) + running
        if own >= self._limit_per_person:
            raise TooManyOfYours(count=own)
        if len(self) >= self._limit:
            wait = self._seconds(self.waiting_steps(), slots) or 60.0
            raise QueueFull(minutes=max(1, round(wait / 60)))
        seconds = self._seconds(self.waiting_steps() + job.total_steps, slots)
        if job.destination.private and seconds is not None and seconds > PRIVATE_SECONDS:
            raise TooSlowForPrivate(minutes=round(seconds / 60))

    def push(self, job: Job, *, first: bool = False) -> None:
        """Put a job at the end of its person's line, or back at its beginning."""
        line = self._people.setdefault(job.user_id, deque())
        if first:
            line.appendleft(job)
            self._people.move_to_end(job.user_id, last=False)
        else:
            line.append(job)

    def pop(self) -> Job | None:
        """The next job, or None."""
        if not self._people:
            return None
        person, line = next(iter(self._people.items()))
        job = line.popleft()
        credit = self._credit.get(person, line[0].weight if line else 1) - 1
        if not line:
            del self._people[person]
            self._credit.pop(person, None)
        elif credit <= 0:
            self._people.move_to_end(person)
            self._credit.pop(person, None)
        else:
            self._credit[person] = credit
        return job

    def remove(self, job_id: str) -> Job | None:
        """Take a waiting job out of the line; None if it does not wait."""
        for person, line in self._people.items():
            for job in line:
                if job.id == job_id:
                    line.remove(job)
                    if not line:
                        del self._people[person]
                        self._credit.pop(person, None)
                    return job
        return None

    def order(self) -> Iterator[Job]:
        """All waiting jobs in the order in which they will be taken if nobody else comes."""
        copy = FairQueue()
        copy._people = OrderedDict((person, deque(line)) for person, line in self._people.items())
        copy._credit = dict(self._credit)
        while (job := copy.pop()) is not None:
            yield job

    def places(self, *, running_steps: int, slots: int) -> dict[str, Place]:
        """Every waiting job's place; `running_steps` are still to be done before the first."""
        places = {}
        steps = running_steps
        for ahead, job in enumerate(self.order()):
            steps += job.total_steps
            places[job.id] = Place(ahead=ahead, seconds=self._seconds(steps, slots))
        return places

    def waiting_steps(self) -> int:
        """Steps of all waiting jobs together."""
        return sum(job.total_steps for line in self._people.values() for job in line)

    def measured(self, seconds: float, steps: int) -> None:
        """Learn from a finished request how long a step takes, everything around it included."""
        sample = seconds / max(1, steps)
        if self.seconds_per_step is None:
            self.seconds_per_step = sample
        else:
            self.seconds_per_step += SMOOTHING * (sample - self.seconds_per_step)

    def _seconds(self, steps: int, slots: int) -> float | None:
        if self.seconds_per_step is None:
            return None
        return steps * self.seconds_per_step / max(1, slots)
