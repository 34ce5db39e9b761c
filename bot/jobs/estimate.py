"""How long things take: measured step times, and when each waiting job will be done."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence

from bot.jobs.job import Job
from inference import Img2ImgResult

# The weight of the newest measurement: after five results nine tenths of an old pace are forgotten.
NEWEST = 0.37


class StepTimeEstimator:
    """Running averages over results, of seconds per step and of seconds around the steps.

    They are measured with as many neighbours in the batch as there happened to be, which is what
    the next request will meet too.
    """

    def __init__(self) -> None:
        self._step: float | None = None
        self._around = 0.0

    def measure(self, result: Img2ImgResult) -> None:
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
        """A request of that many steps, from its start to its end; None before any measurement."""
        return None if self._step is None else self._around + steps * self._step

    def finish_times(
        self, running: Iterable[int], waiting: Sequence[Job], slots: int
    ) -> list[float] | None:
        """Seconds from now until each waiting job is done, in the order they will be begun.

        `running` holds the steps that each running request still has to take. Every slot takes
        the next request as soon as it is free, as the engine does. None before any measurement.
        """
        if self._step is None:
            return None
        free = [left * self._step for left in running]
        free += [0.0] * (slots - len(free))
        heapq.heapify(free)
        done = []
        for job in waiting:
            ends = [free[0]]
            for number in job.missing:
                seconds = self._around + job.steps_of(job.variants[number]) * self._step
                ends.append(free[0] + seconds)
                heapq.heapreplace(free, ends[-1])
            done.append(max(ends))
        return done
