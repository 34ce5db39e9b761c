"""Takes jobs from accepted to answered: feeds the engine, keeps its pictures, has them sent."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import time
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Self

from bot.delivery.delivery import Delivery
from bot.errors import UnavailableError, UserError
from bot.i18n.translate import translate_error
from bot.jobs.failures import BrokeDownTwice, Broken, JobFailure, SourceLost, failure_of
from bot.jobs.job import Job, JobState, QueuePosition
from bot.jobs.queue import FairQueue
from bot.runner.attempt import JobAttempt, Tickets
from bot.runner.batch_slots import BatchSlots
from bot.runner.retention import erase_expired_jobs
from bot.store.picture_files import StoredPictureMissing
from bot.store.store import JobNotActive, Store
from inference import (
    InferenceError,
    InferenceService,
    ModelUnavailable,
    ServiceState,
    ServiceStopped,
    WorkerDied,
)

log = logging.getLogger(__name__)

# Begun, and once more if the worker died under it.
ATTEMPTS = 2
# Of the ten seconds that stopping may take, what running jobs and answers get to end by
# themselves; the model's process takes up to five more.
GRACE_SECONDS = 3.0
# Only so far back is a waiting person's place kept up to date in the reply.
SHOWN_POSITIONS = 5
# How long a person's data is kept after they asked for its end, so that their replies can say so.
FAREWELL_SECONDS = 5.0


class ModelFailed(UnavailableError):
    """The model gave up for good; the operator has to act."""

    text = (
        "The model is not running, so nothing new can be taken in: whoever runs this bot has to "
        "look."
    )


class Stopping(UnavailableError):
    """The bot is on its way out."""

    text = "The bot is about to restart. Please try again in a minute."


class Runner:
    """`async with Runner(...)`: takes up what was left unanswered, then whatever is accepted.

    Its tasks are its own, not the Discord client's: enter it once the client is logged in, leave it
    before the client closes. `clock` gives seconds since the epoch.
    """

    def __init__(
        self,
        *,
        store: Store,
        queue: FairQueue,
        service: InferenceService,
        delivery: Delivery,
        retention_hours: float = 24.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self.queue = queue
        self._service = service
        self._delivery = delivery
        self._retention_hours = retention_hours
        self._clock = clock
        self._slots = BatchSlots()
        self._accepting = asyncio.Lock()
        self._wake = asyncio.Event()
        self._attempt_runner = JobAttempt(
            store=store,
            service=service,
            delivery=delivery,
            queue=queue,
            slots=self._slots,
            request_dispatch=self._wake.set,
        )
        self._runs: dict[str, asyncio.Task[None]] = {}
        self._answers: dict[str, asyncio.Task[None]] = {}
        self._loops: list[asyncio.Task[None]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._idle = asyncio.Event()
        self._shown: dict[str, int] = {}
        self._stopping = False
        self._halted = False
        self._context = contextvars.copy_context()

    async def __aenter__(self) -> Self:
        self._context = contextvars.copy_context()
        begun: list[Job] = []
        for job in await self._store.unanswered():
            if job.state is JobState.QUEUED:
                self.queue.add(job)
            elif job.state is not JobState.RUNNING:
                self._answer(job)
            elif job.attempts < ATTEMPTS:
                begun.append(job)
            else:
                failure = translate_error(job.locale, BrokeDownTwice())
                self._answer(await self._store.fail(job.id, failure))
        for job in reversed(begun):
            self.queue.add_first(job)
        self._wake.set()
        self._loops = [
            self._spawn(self._dispatch(), "dispatcher"),
            self._spawn(
                erase_expired_jobs(self._store, self._retention_hours, self._clock), "retention"
            ),
        ]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stopping = True
        for task in self._loops:
            task.cancel()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GRACE_SECONDS):
                # What is made meanwhile has an answer to be sent.
                while self._tasks:
                    await asyncio.wait(self._tasks)
        late = list(self._tasks)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        await self._delivery.close()

    async def accept(self, job: Job) -> QueuePosition:
        """Take the job in: once this returns, its person will be answered.

        Raises:
            PersonError: why not; its source is deleted again if no other job names it.
        """
        try:
            async with self._accepting:
                self._check_open()
                self.queue.check(job)
                await self._store.accept(job)
                self.queue.add(job)
                self._idle.clear()
        except UserError:
            await self._store.discard(job.source)
            raise
        position = self.queue.positions()[job.id]
        self._shown[job.id] = position.ahead
        # In the runner's own context: what shows progress is no part of the command.
        self._context.copy().run(self._delivery.show_queued, job, position)
        self._wake.set()
        return position

    async def cancel(self, job_id: str) -> bool:
        """End a waiting or running job; False if it is neither. Whoever may is asked before."""
        try:
            job = await self._store.cancel(job_id)
        except JobNotActive:
            return False
        if self.queue.remove(job_id) is None and (run := self._runs.get(job_id)):
            run.cancel()
        self._answer(job)
        return True

    async def erase(self, user_id: int) -> int:
        """End a person's jobs and delete all that is kept of them; how many jobs there were."""
        jobs = await self._store.jobs_of(user_id)
        for job in jobs:
            await self.cancel(job.id)
        answers = [self._answers[job.id] for job in jobs if job.id in self._answers]
        if answers:
            await asyncio.wait(answers, timeout=FAREWELL_SECONDS)
        for answer in answers:
            answer.cancel()
        return await self._store.erase_user(user_id)

    def positions(self) -> dict[str, QueuePosition]:
        """Every waiting job's place in line."""
        return self.queue.positions()

    @property
    def running(self) -> tuple[Job, ...]:
        """The jobs that are being made now."""
        return self.queue.running

    async def wait_idle(self) -> None:
        """Until nothing waits, runs or is still to be answered."""
        self._notice_idleness()
        await self._idle.wait()

    def _check_open(self) -> None:
        if self._stopping:
            raise Stopping
        status = self._service.status
        if status.state is ServiceState.FAILED:
            raise ModelFailed

    async def _dispatch(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            self._slots.resize(self._service.status.slots)
            self.queue.slots = self._service.status.slots
            while self._slots.free and not self._halted:
                job = self.queue.pop()
                if job is None:
                    break
                tickets = {n: self._slots.take() for n in job.missing}
                self._runs[job.id] = self._spawn(self._run(job, tickets), f"job {job.id}")
            self._show_positions()

    def _show_positions(self) -> None:
        positions = self.queue.positions()
        near = self.queue.order()[:SHOWN_POSITIONS]
        for job in near:
            if self._shown.get(job.id) != positions[job.id].ahead:
                self._delivery.show_queued(job, positions[job.id])
        self._shown = {job.id: positions[job.id].ahead for job in near}

    async def _run(self, job: Job, tickets: Tickets) -> None:
        outcome: Job | None = None
        again: Job | None = None
        try:
            job = await self._store.start(job.id, self._clock())
            await self._attempt_runner.make(job, tickets)
            outcome = await self._store.made(job.id, self._clock())
        except JobNotActive:
            log.info("job %s was ended while it ran", job.id)
        except asyncio.CancelledError:
            await self._put_back(job.id)
            raise
        except (ServiceStopped, ModelUnavailable) as error:
            # Not the job's fault; it waits for the next start, and so does everything else.
            log.warning("nothing runs any more: %s", error)
            self._halted = True
            again = await self._put_back(job.id)
        except WorkerDied as error:
            log.warning("job %s, attempt %d: %s", job.id, job.attempts, error)
            if job.attempts < ATTEMPTS:
                # What it made before is in the store; only the rest is made again.
                again = await self._store.job(job.id)
            else:
                outcome = await self._fail(job, BrokeDownTwice())
        except StoredPictureMissing:
            log.exception("the source of job %s is lost", job.id)
            outcome = await self._fail(job, SourceLost())
        except InferenceError as error:
            log.warning("job %s: %s", job.id, error)
            outcome = await self._fail(job, failure_of(error))
        except Exception:
            log.exception("job %s", job.id)
            outcome = await self._fail(job, Broken())
        finally:
            for ticket in tickets.values():
                self._slots.give_back(ticket)
            self.queue.done(job.id)
            del self._runs[job.id]
            self._wake.set()
        if again:
            self.queue.add_first(again)
        elif outcome:
            self._answer(outcome)

    async def _put_back(self, job_id: str) -> Job | None:
        try:
            return await self._store.requeue(job_id)
        except JobNotActive:
            return None

    async def _fail(self, job: Job, failure: JobFailure) -> Job | None:
        try:
            return await self._store.fail(job.id, translate_error(job.locale, failure))
        except JobNotActive:
            return None

    def _answer(self, job: Job) -> None:
        self._idle.clear()
        self._answers[job.id] = self._spawn(self._deliver(job), f"answer to {job.id}")

    async def _deliver(self, job: Job) -> None:
        try:
            await self._delivery.answer(job)
        finally:
            del self._answers[job.id]

    def _notice_idleness(self) -> None:
        if len(self.queue) or self._runs or self._answers:
            self._idle.clear()
        else:
            self._idle.set()

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """A task of the runner's own, also where a command's task asks for it."""
        loop = asyncio.get_running_loop()
        task = loop.create_task(work, name=name, context=self._context.copy())
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._notice_idleness()
        if not task.cancelled() and (error := task.exception()):
            log.critical("%s broke; it goes on at the next start", task.get_name(), exc_info=error)
