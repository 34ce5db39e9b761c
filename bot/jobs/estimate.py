"""Estimates: measured step times, and when each waiting or running job will be finished."""

from __future__ import annotations

import heapq
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from bot.jobs.job import Job, QueuePosition
from bot.jobs.queue import FairQueue
from inference import ImageResult, ModelState, ServiceState, ServiceStatus

# The weight of the newest measurement in the running average: after five results the older
# measurements together weigh a tenth.
NEWEST = 0.37


class Schedule(NamedTuple):
    """Seconds from now until each waiting job is finished, in their order, and until all requests
    are."""

    finished: list[float]
    end: float


class StepTimeEstimator:
    """Running averages of the seconds per pixel and step, and of the seconds before and after the
    steps of each tile.

    They are measured with as many requests in the batch as there were at that time, which is what
    the next request will see, too.
    """

    def __init__(self) -> None:
        self._rate: float | None = None
        self._around = 0.0

    def measure(self, job: Job, result: ImageResult) -> None:
        """Take the timings of one of the job's finished requests into account. One without steps
        is ignored."""
        if not result.steps_run:
            return
        timings = result.timings
        rate = timings.steps / (result.steps_run * job.pixels_of_step)
        around = (timings.prepare + timings.decode) / job.tiles
        if self._rate is None:
            self._rate, self._around = rate, around
        else:
            self._rate += NEWEST * (rate - self._rate)
            self._around += NEWEST * (around - self._around)

    def seconds(self, job: Job, steps: int) -> float | None:
        """A request of that many steps of the job, from start to end; None before any
        measurement."""
        if self._rate is None:
            return None
        return job.tiles * self._around + steps * job.pixels_of_step * self._rate

    def schedule(
        self, running: Iterable[float], waiting: Sequence[Job], slots: int, begin: float = 0.0
    ) -> Schedule | None:
        """When the jobs are finished, if they begin `begin` seconds from now.

        `running` holds the work, steps times pixels, that each running request has left. Each slot
        takes the next request as soon as it is free, as the engine does. None before any
        measurement.
        """
        if self._rate is None:
            return None
        free = [begin + left * self._rate for left in running]
        free += [begin] * (slots - len(free))
        heapq.heapify(free)
        finished = []
        for job in waiting:
            ends = [free[0]]
            for number in job.missing:
                work = job.cost_of(job.variants[number])
                seconds = job.tiles * self._around + work * self._rate
                ends.append(free[0] + seconds)
                heapq.heapreplace(free, ends[-1])
            finished.append(max(ends))
        return Schedule(finished, max(free))


class JobEstimates:
    """Estimated finish times of the jobs of a queue.

    `status` is the service's: how many requests of each model run at once, and which of several
    models are loaded.
    """

    def __init__(self, queue: FairQueue, clock: Callable[[], float] = time.monotonic) -> None:
        self._queue = queue
        self._clock = clock
        self._steps_left: dict[str, dict[int, int]] = {}
        # Of each running variant's first report: when it came, and the steps left then.
        self._first_reports: dict[str, dict[int, tuple[float, int]]] = {}
        self._step_times: defaultdict[str, StepTimeEstimator] = defaultdict(StepTimeEstimator)
        self.status = ServiceStatus(state=ServiceState.LOADING, detail="")

    def measure(self, job: Job, result: ImageResult) -> None:
        """Take the timings of one of the job's finished requests into account for its model."""
        self._step_times[self._model(job)].measure(job, result)

    def report_steps(self, job: Job, variant: int, left: int) -> None:
        """A running job's variant has `left` steps to go."""
        self._steps_left.setdefault(job.id, {})[variant] = left
        self._first_reports.setdefault(job.id, {}).setdefault(variant, (self._clock(), left))

    def forget(self, job_id: str) -> None:
        """The job no longer runs."""
        self._steps_left.pop(job_id, None)
        self._first_reports.pop(job_id, None)

    def steps_left(self, job_id: str) -> Mapping[int, int]:
        """Variant → the steps left, as last reported, of a running job; it follows the reports."""
        return self._steps_left.get(job_id, {})

    def seconds_left(self, job: Job) -> float | None:
        """Until a running job is finished, its variants in parallel as far as the slots allow.

        A variant's own step time counts as soon as it is known: it depends on the picture's size
        and the batch, which the average does not know.
        """
        left = [self._seconds_left(job, number, steps) for number, steps in self._left(job).items()]
        known = [seconds for seconds in left if seconds is not None]
        if len(known) < len(left):
            return None
        slots = self.status.model(job.model).slots
        return max([*known, sum(known) / slots])

    def has_begun(self, job: Job) -> bool:
        """Whether a running job has taken a step."""
        return job.id in self._steps_left

    def waits_for_model(self, job: Job) -> bool:
        """Whether a running job has taken no step because its model is not loaded."""
        loaded = not self.status.models or self._is_loaded(self._model(job))
        return not self.has_begun(job) and not (loaded and self.status.state is ServiceState.READY)

    def positions(self) -> dict[str, QueuePosition]:
        """Every waiting job's position, in order."""
        order = self._queue.order()
        finish = self._finish_times(order)
        return {job.id: self._position(job, n, finish) for n, job in enumerate(order)}

    def positions_in_service(self) -> dict[str, QueuePosition]:
        """The positions of the running jobs that have not taken a step."""
        finish: dict[str, float | None] = {}
        waiting = [job for job in self._queue.running if not self.has_begun(job)]
        for job in waiting:
            seconds = self.seconds_left(job)
            if seconds is not None:
                seconds += self.seconds_until_loaded(self._model(job))
            finish[job.id] = seconds
        return {job.id: self._position(job, 0, finish) for job in waiting}

    def position_of_new(self, job: Job) -> QueuePosition:
        """The position that the job would have if it were added now."""
        order = self._queue.order_with(job)
        index = next(n for n, other in enumerate(order) if other.id == job.id)
        finish = self._finish_times(order[: index + 1])
        return self._position(job, index, finish)

    def _position(self, job: Job, ahead: int, finish: dict[str, float | None]) -> QueuePosition:
        name = self._model(job)
        missing = bool(self.status.models) and not self._is_loaded(name)
        return QueuePosition(
            ahead=ahead,
            seconds=finish[job.id],
            model=self.status.model(name) if missing else None,
        )

    def seconds_until_free(self, user_id: int | None = None) -> float | None:
        """Until the first job (of that user) is finished."""
        running = [
            self.seconds_left(job) for job in self._queue.running if user_id in (None, job.user_id)
        ]
        order = self._queue.order()
        finish = self._finish_times(order)
        waiting = [finish[job.id] for job in order if user_id in (None, job.user_id)]
        if None in running or None in finish.values():
            return None
        return min((left for left in (*running, *waiting) if left is not None), default=0.0)

    def _finish_times(self, order: Sequence[Job]) -> dict[str, float | None]:
        """Job → seconds from now until it is finished; None where it cannot be estimated.

        Loaded models run at the same time; the step times were measured that way. The jobs of
        another model begin when the loaded ones are finished, or the service gives it a turn, and
        the model was loaded.
        """
        running: defaultdict[str, list[float]] = defaultdict(list)
        for job in self._queue.running:
            left = self._left(job).values()
            running[self._model(job)] += [steps * job.pixels_of_step for steps in left]
        waiting: defaultdict[str, list[Job]] = defaultdict(list)
        for job in order:
            waiting[self._model(job)].append(job)
        finish: dict[str, float | None] = {}
        busy = 0.0
        names = dict.fromkeys((*running, *waiting))
        for name in sorted(names, key=lambda each: not self._is_loaded(each)):
            status = self.status.model(name)
            begin = self.seconds_until_loaded(name, busy)
            schedule = self._step_times[name].schedule(
                running[name], waiting[name], status.slots, begin
            )
            for number, job in enumerate(waiting[name]):
                finish[job.id] = None if schedule is None else schedule.finished[number]
            busy = max(busy, begin if schedule is None else schedule.end)
        return finish

    def seconds_until_loaded(self, name: str, busy: float = 0.0) -> float:
        """Until a model is in memory, if the loaded models have work for `busy` seconds. They are
        served during its download."""
        status = self.status.model(name)
        if status.state is ModelState.LOADED:
            return 0.0
        wait = 0.0 if status.state is ModelState.LOADING else min(busy, status.serve_seconds)
        if status.download is not None:
            wait = max(wait, status.download.seconds_left or 0.0)
        return wait + (status.load_seconds or 0.0)

    def _is_loaded(self, name: str) -> bool:
        return self.status.model(name).state is ModelState.LOADED

    def _model(self, job: Job) -> str:
        """The job's model if there are several; a single one has one set of slots and times."""
        return (job.model or self.status.models[0].name) if self.status.models else ""

    def _seconds_left(self, job: Job, number: int, steps: int) -> float | None:
        began, first = self._first_reports.get(job.id, {}).get(number, (0.0, steps))
        if first <= steps:
            return self._step_times[self._model(job)].seconds(job, steps)
        return steps * (self._clock() - began) / (first - steps)

    def _left(self, job: Job) -> dict[int, int]:
        """Variant → the steps left, of each variant that is not finished."""
        reported = self._steps_left.get(job.id, {})
        left = {n: reported.get(n, job.steps_of(job.variants[n])) for n in job.missing}
        return {number: steps for number, steps in left.items() if steps}
