"""Runs jobs from acceptance to answer: accepts, dispatches to the engine, starts delivery."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from types import TracebackType
from typing import Self

from bot.backoff import Backoff
from bot.delivery.delivery import Delivery
from bot.errors import JobNotActive
from bot.jobs.admission import Admission, Reservation
from bot.jobs.budgets import UNLIMITED, Allowance
from bot.jobs.checks import JobChecks
from bot.jobs.estimate import JobEstimates
from bot.jobs.job import Job, QueuePosition
from bot.jobs.queue import FairQueue
from bot.logs.job_context import CURRENT_JOB
from bot.monitoring.metrics import Metrics
from bot.runner.acceptance import Acceptance
from bot.runner.accounting import Accounting
from bot.runner.attempt import AttemptOutcome, JobAttempt
from bot.runner.batch_slots import ModelSlots
from bot.runner.demand import report_demand
from bot.runner.positions import PositionUpdater
from bot.runner.resume import IsolatedJobs, resume_jobs
from bot.runner.retention import erase_expired_jobs
from bot.runner.status_watch import watch_status
from bot.runner.task_group import BackgroundTasks
from bot.store.store import Store
from inference import InferenceService

log = logging.getLogger(__name__)

# Stopping may take ten seconds: this long for running jobs and answers to end by themselves, and
# up to five seconds for the model's process.
GRACE_SECONDS = 3.0
# Between attempts to write to a full disk.
FIRST_STORAGE_PAUSE, LONGEST_STORAGE_PAUSE = 5.0, 300.0
# The longest wait for a user's pending answers and cancelled runs before their data is erased.
ERASE_WAIT_SECONDS = 5.0


class Runner:
    """`async with Runner(...)`: continues unanswered jobs, then runs what is accepted.

    Its tasks do not belong to the Discord client: enter it after the client has logged in, leave
    it before the client closes. `clock` gives seconds since the epoch.
    """

    _tasks: BackgroundTasks

    def __init__(
        self,
        *,
        store: Store,
        service: InferenceService,
        delivery: Delivery,
        checks: JobChecks,
        queue_limit: int = 200,
        queue_limit_per_user: int = 8,
        retention_hours: float = 24.0,
        min_free_bytes: int = 0,
        metrics: Metrics | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._service = service
        self._delivery = delivery
        self._retention_hours = retention_hours
        self._metrics = metrics or Metrics()
        self._clock = clock
        self.queue = FairQueue(self._cost)
        self.estimates = JobEstimates(self.queue)
        self._admission = Admission(
            self.queue, self.estimates, limit=queue_limit, limit_per_user=queue_limit_per_user
        )
        self.accounting = Accounting(store.ledger, self.queue, self._metrics, clock)
        self.acceptance = Acceptance(
            store=store,
            service=service,
            checks=checks,
            queue=self.queue,
            admission=self._admission,
            accounting=self.accounting,
            min_free_bytes=min_free_bytes,
        )
        self._slots = ModelSlots()
        self._wake = asyncio.Event()
        self._attempt = JobAttempt(
            store=store,
            service=service,
            delivery=delivery,
            checks=checks,
            estimates=self.estimates,
            accounting=self.accounting,
            slots=self._slots,
            request_dispatch=self._wake.set,
            metrics=self._metrics,
            clock=clock,
        )
        self._runs: dict[str, asyncio.Task[None]] = {}
        self._answers: dict[str, asyncio.Task[None]] = {}
        self._loops: list[asyncio.Task[None]] = []
        self._idle = asyncio.Event()
        self._isolated = IsolatedJobs(self.queue)
        self._positions = PositionUpdater(self.queue, self.estimates, delivery)
        self._service_stopped = False
        self._storage_backoff = Backoff(FIRST_STORAGE_PAUSE, LONGEST_STORAGE_PAUSE)
        self._resume: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Self:
        self._tasks = BackgroundTasks(self._update_idle)
        await self.accounting.load()
        await self.acceptance.load()
        for job in await resume_jobs(self._store, self.queue):
            self._deliver(job)
        self._isolated.find()
        self._wake.set()
        loops = {
            "dispatcher": self._dispatch(),
            "retention": erase_expired_jobs(self._store, self._retention_hours, self._clock),
            "demand": report_demand(self.queue, self._service, self._wake.set, self._clock),
            "status": watch_status(self._service, self._wake.set),
        }
        self._loops = [self._tasks.spawn(loop, name) for name, loop in loops.items()]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.acceptance.stopping = True
        for task in self._loops:
            task.cancel()
        if self._resume is not None:
            self._resume.cancel()
        await self._tasks.close(GRACE_SECONDS)
        await self._delivery.close()

    @asynccontextmanager
    async def reserve(self, user_id: int, pictures: int) -> AsyncIterator[Reservation]:
        """A place in the queue, as `Admission.place`. Enter it before the source is fetched.

        Raises:
            UserError: there is no place, or no request is accepted now.
        """
        async with self.acceptance.reserve(user_id, pictures) as reservation:
            yield reservation

    async def accept(
        self,
        job: Job,
        reservation: Reservation | None = None,
        allowance: Allowance = UNLIMITED,
    ) -> QueuePosition:
        """Accept a job: once this returns, its user will be answered. Without a `reservation` of
        its place, one is made now. `allowance` holds the budgets that apply to it.

        Raises:
            UserError: why not. Whatever is raised, the job's pictures are deleted, except those
                that another job names.
        """
        # The rest of the caller's task is about this job, too.
        CURRENT_JOB.set(job.id)
        await self.acceptance.accept(job, reservation, allowance)
        self._idle.clear()
        position = self.estimates.positions()[job.id]
        self._tasks.call(self._positions.show, job, position)
        self._wake.set()
        return position

    async def cancel(self, job_id: str) -> bool:
        """Cancel a waiting or running job; False if it is neither. The caller checks access."""
        # The run may end, and its reports with it, while the store changes the job.
        steps_left = self.estimates.steps_left(job_id)
        charge_for = partial(self.accounting.charge_for_cancelled, steps_left)
        try:
            job = await self._store.cancel(job_id, charge_for)
        except JobNotActive:
            return False
        self.accounting.cancelled(job, charge_for(job))
        if self.queue.remove(job_id) is None and (run := self._runs.get(job_id)):
            run.cancel()
        self._isolated.ended(job_id)
        self._wake.set()
        self._deliver(job)
        return True

    async def erase(self, user_id: int) -> int:
        """Cancel a user's jobs and erase all of their data; returns the number of jobs."""
        self._admission.revoke(user_id)
        jobs = await self._store.jobs_of(user_id)
        for job in jobs:
            await self.cancel(job.id)
        answers = [self._answers[job.id] for job in jobs if job.id in self._answers]
        runs = [self._runs[job.id] for job in jobs if job.id in self._runs]
        if answers or runs:
            await asyncio.wait([*answers, *runs], timeout=ERASE_WAIT_SECONDS)
        for answer in answers:
            answer.cancel()
        return await self._store.erase_user(user_id)

    def positions(self) -> dict[str, QueuePosition]:
        """Every waiting job's position."""
        return self.estimates.positions()

    @property
    def running(self) -> tuple[Job, ...]:
        """The running jobs."""
        return self.queue.running

    async def wait_idle(self) -> None:
        """Wait until no job waits, runs or is unanswered."""
        self._update_idle()
        await self._idle.wait()

    async def _dispatch(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            self.estimates.status = status = self._service.status
            self._slots.resize(status)
            while not self._service_stopped and self._resume is None:
                job = self.queue.pop(
                    lambda job: self._isolated.may_start(job) and self._slots.free(job.model)
                )
                if job is None:
                    break
                self._start(job)
            self._positions.update()

    def _cost(self, job: Job) -> float:
        """The work of a job for the queue: that of the default model's job that takes as long."""
        models = self._service.status.models
        return self.accounting.relative_cost(job, models[0].name) if models else job.cost

    def _start(self, job: Job) -> None:
        slots = {number: self._slots.take(job.model) for number in job.missing}
        outcome = AttemptOutcome()

        async def run() -> None:
            nonlocal outcome
            outcome = await self._attempt.run(job, slots)

        def end() -> None:
            for slot in slots.values():
                self._slots.release(slot)
            del self._runs[job.id]
            self.queue.done(job.id)
            self.estimates.forget(job.id)
            self._service_stopped = self._service_stopped or outcome.service_stopped
            if outcome.storage_full:
                self._pause_dispatch()
            if outcome.retry:
                self.queue.add_first(outcome.retry)
            else:
                self._isolated.ended(job.id)
            if outcome.answer:
                self._storage_backoff.reset()
                self._deliver(outcome.answer)
            self._wake.set()

        self._runs[job.id] = self._tasks.spawn(run(), f"job {job.id}", end, job_id=job.id)

    def _pause_dispatch(self) -> None:
        """Start no more jobs for a while: there is no space for their results."""

        def resume() -> None:
            self._resume = None
            self._wake.set()

        if self._resume is None:
            pause = self._storage_backoff.next()
            log.error("the disk is full: jobs wait; next try in %g s", pause)
            self._resume = asyncio.get_running_loop().call_later(pause, resume)

    def _deliver(self, job: Job) -> None:
        self._idle.clear()
        self._answers[job.id] = self._tasks.spawn(
            self._delivery.deliver(job),
            f"answer to {job.id}",
            partial(self._answers.pop, job.id, None),
            job_id=job.id,
        )

    def _update_idle(self) -> None:
        if len(self.queue) or self._runs or self._answers:
            self._idle.clear()
        else:
            self._idle.set()
