"""Prices of requests from measured pictures, and the check of budgets before acceptance."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta

from bot.jobs.budgets import UNLIMITED, Allowance, Charge, Spent, check_budget
from bot.jobs.job import Job
from bot.jobs.queue import FairQueue
from bot.monitoring.metrics import Metrics
from bot.store.ledger import Ledger, day_of, renewal
from inference import ImageResult, ModelEntry, Task

# The weight of the newest picture in the running average, as in `bot.jobs.estimate`.
NEWEST = 0.37
# Prices at the start come from the pictures of so many days.
RATE_DAYS = timedelta(days=7)


class Accounting:
    """Prices jobs in device seconds, and holds a job's price until it is in the queue.

    `clock` gives seconds since the epoch.
    """

    def __init__(
        self,
        ledger: Ledger,
        queue: FairQueue,
        metrics: Metrics,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._ledger = ledger
        self._queue = queue
        self._metrics = metrics
        self._clock = clock
        # Model → seconds of the device for a unit of `Job.cost`.
        self._rates: dict[str, float] = {}
        self._held: dict[str, Job] = {}
        # The work of a running job's pictures that were charged.
        self._charged: dict[str, float] = {}

    async def load(self) -> None:
        """Read the prices of the last days."""
        since = day_of(self._clock() - RATE_DAYS.total_seconds())
        self._rates = await self._ledger.rates(since)

    def charge(self, job: Job, number: int, result: ImageResult) -> Charge:
        """The charge for a variant that was made; it also makes the next prices more exact."""
        cost = job.cost_of(job.variants[number])
        seconds = result.timings.device
        self._charged[job.id] = self._charged.get(job.id, 0.0) + cost
        if not job.steps:
            # The picture of a part: its seconds are not those of a step.
            return Charge(seconds=seconds, work=0.0, at=self._clock())
        rate = seconds / cost
        before = self._rates.get(job.model, rate)
        self._rates[job.model] = before + NEWEST * (rate - before)
        return Charge(seconds=seconds, work=cost, at=self._clock())

    def charge_for_cancelled(self, steps_left: Mapping[int, int], job: Job) -> Charge | None:
        """The charge for the steps that a cancelled job's missing pictures took, at the measured
        rate.

        `steps_left` has the steps that are left of each picture that took one. Nothing is charged
        before a picture of the model was measured, and for the picture of a part.
        """
        rate = self._rates.get(job.model)
        work = 0.0
        for number in set(job.missing) & steps_left.keys():
            variant = job.variants[number]
            done = 1 - steps_left[number] / job.steps_of(variant)
            work += job.cost_of(variant) * max(0.0, done)
        if rate is None or not work or not job.steps:
            return None
        return Charge(seconds=rate * work, work=work, at=self._clock(), pictures=0)

    def cancelled(self, job: Job, charge: Charge | None) -> None:
        """A job was cancelled, and charged so much."""
        # It may count as running for a moment; nothing more will be charged.
        self._charged[job.id] = self._charged.get(job.id, 0.0) + job.cost
        if charge is not None:
            self._metrics.device_used(job.model, "cancelled", charge)

    def price(self, job: Job) -> float | None:
        """The device seconds that the job's missing pictures will take; None before a picture of
        its model was measured."""
        rate = self._rates.get(job.model)
        return None if rate is None else rate * job.cost

    async def spent(self, user_id: int, guild_id: int | None) -> Spent:
        """What was charged today, and the prices of accepted jobs that are not finished."""
        charged = await self._ledger.spent(user_id, guild_id, day_of(self._clock()))
        jobs = [*self._queue.running, *self._queue.order(), *self._held.values()]
        running = {job.id for job in self._queue.running}
        self._charged = {id_: work for id_, work in self._charged.items() if id_ in running}
        here = [job for job in jobs if job.destination.guild_id == guild_id]
        own = [job for job in jobs if job.user_id == user_id]
        own_here = [job for job in here if job.user_id == user_id]
        return Spent(
            user=charged.user + self._left(own),
            user_here=charged.user_here + self._left(own_here),
            server=charged.server + self._left(here),
        )

    @property
    def renews_at(self) -> float:
        """When budgets renew, in seconds since the epoch."""
        return renewal(self._clock())

    def relative_cost(self, job: Job, reference: str) -> float:
        """The work that is left of a job, as that of a job of the model `reference` which takes the
        device as long; without measurements of both models, the job's own."""
        rate, reference_rate = self._rates.get(job.model), self._rates.get(reference)
        return job.cost * rate / reference_rate if rate and reference_rate else job.cost

    def picture_seconds(self, model: ModelEntry, task: Task) -> float | None:
        """The device seconds of a picture with this task and the model's usual settings; of an edit
        with one picture. None before a picture of the model was measured."""
        rate = self._rates.get(model.name)
        steps = max(1, int(model.steps * model.strength)) if task == "img2img" else model.steps
        pictures = 2 if task == "edit" else 1
        return None if rate is None else rate * steps * pictures * model.pixels

    async def check_left(self, user_id: int, guild_id: int | None, allowance: Allowance) -> None:
        """Check that something is left of each budget, before the price of a request is known.

        Raises:
            BudgetExceeded: nothing is left.
        """
        if allowance != UNLIMITED:
            spent = await self.spent(user_id, guild_id)
            check_budget(allowance, spent, None, self.renews_at)

    async def check(self, job: Job, allowance: Allowance) -> None:
        """Check that the budgets allow a job.

        Raises:
            BudgetExceeded: they do not.
        """
        spent = await self.spent(job.user_id, job.destination.guild_id)
        check_budget(allowance, spent, self.price(job), self.renews_at)

    @asynccontextmanager
    async def hold(self, job: Job, allowance: Allowance) -> AsyncIterator[None]:
        """Check that the budgets allow a job, and count its price until the block is left.

        Raises:
            BudgetExceeded: they do not.
        """
        await self.check(job, allowance)
        self._held[job.id] = job
        try:
            yield
        finally:
            del self._held[job.id]

    def _left(self, jobs: list[Job]) -> float:
        """The prices of these jobs' pictures that were not charged yet."""
        return sum(
            self._rates.get(job.model, 0.0) * max(0.0, job.cost - self._charged.get(job.id, 0.0))
            for job in jobs
        )
