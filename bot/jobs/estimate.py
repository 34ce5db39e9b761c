"""Estimates: measured step times, and when each waiting or running job will be finished."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Iterable, Sequence

from bot.jobs.job import Job, QueuePosition
from bot.jobs.queue import FairQueue
from inference import ImageResult

# The weight of the newest measurement in the running average: after five results the older
# measurements together weigh a tenth.
NEWEST = 0.37


class StepTimeEstimator:
    """Running averages of the seconds per step and of the seconds before and after the steps.

    They are measured with as many requests in the batch as there were at that time, which is what
    the next request will see, too.
    """

    def __init__(self) -> None:
        self._step: float | None = None
        self._around = 0.0

    def measure(self, result: ImageResult) -> None:
        """Take a finished request's timings into account."""
        timings = result.timings
        step = timings.steps / max(1, result.steps_run)
        around = timings.prepare + timings.decode
        if self._step is None:
            self._step, self._around = step, around
        else:
            self._step += NEWEST * (step - self._step)
            self._around += NEWEST * (around - self._around)

    def seconds(self, steps: int) -> float | None:
        """A request of that many steps, from start to end; None before any measurement."""
        return None if self._step is None else self._around + steps * self._step

    def finish_times(
        self, running: Iterable[int], waiting: Sequence[Job], slots: int
    ) -> list[float] | None:
        """Seconds from now until each waiting job is finished, in their order.

        `running` holds the steps that each running request has left. Each slot takes the next
        request as soon as it is free, as the engine does. None before any measurement.
        """
        if self._step is None:
            return None
        free = [left * self._step for left in running]
        free += [0.0] * (slots - len(free))
        heapq.heapify(free)
        finished = []
        for job in waiting:
            ends = [free[0]]
            for number in job.missing:
                seconds = self._around + job.steps_of(job.variants[number]) * self._step
                ends.append(free[0] + seconds)
                heapq.heapreplace(free, ends[-1])
            finished.append(max(ends))
        return finished


class JobEstimates:
    """Estimated finish times of the jobs of a queue. `slots` is the size of the engine's batch."""

    def __init__(self, queue: FairQueue, clock: Callable[[], float] = time.monotonic) -> None:
        self._queue = queue
        self._clock = clock
        self._steps_left: dict[str, dict[int, int]] = {}
        # Of each running variant's first report: when it came, and the steps left then.
        self._first_reports: dict[str, dict[int, tuple[float, int]]] = {}
        self.step_times = StepTimeEstimator()
        self.slots = 1

    def report_steps(self, job: Job, variant: int, left: int) -> None:
        """A running job's variant has `left` steps to go."""
        self._steps_left.setdefault(job.id, {})[variant] = left
        self._first_reports.setdefault(job.id, {}).setdefault(variant, (self._clock(), left))

    def forget(self, job_id: str) -> None:
        """The job no longer runs."""
        self._steps_left.pop(job_id, None)
        self._first_reports.pop(job_id, None)

    def seconds_left(self, job: Job) -> float | None:
        """Until a running job is finished, its variants in parallel as far as the slots allow.

        A variant's own step time counts as soon as it is known: it depends on the picture's size
        and the batch, which the average does not know.
        """
        left = [self._seconds_left(job, number, steps) for number, steps in self._left(job).items()]
        known = [seconds for seconds in left if seconds is not None]
        if len(known) < len(left):
            return None
        return max([*known, sum(known) / self.slots], default=0.0)

    def positions(self) -> dict[str, QueuePosition]:
        """Every waiting job's position, in order."""
        order = self._queue.order()
        finish = self._finish_times(order)
        return {
            job.id: QueuePosition(ahead=n, seconds=finish[n] if finish else None)
            for n, job in enumerate(order)
        }

    def position_of_new(self, job: Job) -> QueuePosition:
        """The position that the job would have if it were added now."""
        order = self._queue.order_with(job)
        index = next(n for n, other in enumerate(order) if other.id == job.id)
        finish = self._finish_times(order[: index + 1])
        return QueuePosition(ahead=index, seconds=finish[-1] if finish else None)

    def seconds_until_free(self, user_id: int | None = None) -> float | None:
        """Until the first job (of that user) is finished."""
        running = [
            self.seconds_left(job) for job in self._queue.running if user_id in (None, job.user_id)
        ]
        order = self._queue.order()
        finish = self._finish_times(order)
        if finish is None or None in running:
            return None
        waiting = [
            seconds
            for job, seconds in zip(order, finish, strict=True)
            if user_id in (None, job.user_id)
        ]
        return min([*(left for left in running if left is not None), *waiting], default=0.0)

    def _finish_times(self, order: list[Job]) -> list[float] | None:
        running = [steps for job in self._queue.running for steps in self._left(job).values()]
        return self.step_times.finish_times(running, order, self.slots)

    def _seconds_left(self, job: Job, number: int, steps: int) -> float | None:
        began, first = self._first_reports.get(job.id, {}).get(number, (0.0, steps))
        if first <= steps:
            return self.step_times.seconds(steps)
        return steps * (self._clock() - began) / (first - steps)

    def _left(self, job: Job) -> dict[int, int]:
        """Variant → the steps left, of each variant that is not finished."""
        reported = self._steps_left.get(job.id, {})
        left = {n: reported.get(n, job.steps_of(job.variants[n])) for n in job.missing}
        return {number: steps for number, steps in left.items() if steps}
