"""One attempt at a job: generates the missing pictures, stores them, and decides what follows."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from PIL import Image

from bot.delivery.delivery import Delivery
from bot.errors import JobNotActive, StorageFull, StoredPictureMissing
from bot.i18n.error_text import translate_error
from bot.images.compose import tinted
from bot.images.picture import Picture
from bot.jobs.checks import JobChecks
from bot.jobs.estimate import JobEstimates
from bot.jobs.failures import (
    GenerationFailed,
    JobFailure,
    ResultRefused,
    SourceLost,
    WorkerDiedTwice,
    failure_of,
)
from bot.jobs.job import Job, JobProgress
from bot.monitoring.metrics import Metrics
from bot.runner.accounting import Accounting
from bot.runner.batch_slots import ModelSlots, Slot
from bot.runner.job_inputs import JobInputs, load_inputs, request_of
from bot.store.store import Store
from inference import (
    ImageResult,
    InferenceError,
    InferenceService,
    ModelUnavailable,
    Progress,
    ServiceStopped,
    WorkerDied,
)

log = logging.getLogger(__name__)

# The first attempt, and one more if the worker process died in it.
MAX_ATTEMPTS = 2

Slots = dict[int, Slot]
"""The number of a variant → its slot in the engine's batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptOutcome:
    """What follows an attempt: a job to answer, a job to run again, or neither (it was ended
    meanwhile). `service_stopped`: the service takes no more requests. `storage_full`: there was no
    space for the result."""

    answer: Job | None = None
    retry: Job | None = None
    service_stopped: bool = False
    storage_full: bool = False


class JobAttempt:
    """Runs attempts. `request_dispatch` is called whenever the engine may have a free slot."""

    def __init__(
        self,
        *,
        store: Store,
        service: InferenceService,
        delivery: Delivery,
        checks: JobChecks,
        estimates: JobEstimates,
        accounting: Accounting,
        slots: ModelSlots,
        request_dispatch: Callable[[], None],
        metrics: Metrics,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._service = service
        self._delivery = delivery
        self._checks = checks
        self._estimates = estimates
        self._accounting = accounting
        self._slots = slots
        self._request_dispatch = request_dispatch
        self._metrics = metrics
        self._clock = clock

    async def run(self, job: Job, slots: Slots) -> AttemptOutcome:
        """Start the job and generate its missing pictures. Releases the slots that it used.

        If it is cancelled, the job is put back.
        """
        try:
            return await self._run(job, slots)
        except StorageFull:
            self._metrics.storage_full()
            return AttemptOutcome(retry=await self._store.job(job.id), storage_full=True)

    async def _run(self, job: Job, slots: Slots) -> AttemptOutcome:
        try:
            began = time.monotonic()
            job = await self._store.start(job.id, self._clock())
            await self._generate_all(job, slots)
            seconds = time.monotonic() - began
            return AttemptOutcome(answer=await self._store.made(job.id, seconds))
        except JobNotActive:
            log.info("the job was ended while it ran")
            return AttemptOutcome()
        except asyncio.CancelledError:
            with contextlib.suppress(StorageFull):
                await self._put_back(job)
            raise
        except StorageFull:
            raise
        except (ServiceStopped, ModelUnavailable) as error:
            # The job did not cause it: it waits for the next start.
            log.warning("the model takes no more requests: %s", error)
            return AttemptOutcome(retry=await self._put_back(job), service_stopped=True)
        except WorkerDied as error:
            log.warning("attempt %d: %s", job.attempts + 1, error)
            return await self._after_death(job)
        except JobFailure as failure:
            log.info("no picture: %s", type(failure).__name__)
            return await self._fail(job, failure)
        except StoredPictureMissing:
            log.exception("the source is missing")
            return await self._fail(job, SourceLost())
        except InferenceError as error:
            log.warning("no picture: %s", error)
            return await self._fail(job, failure_of(error, job.model))
        except Exception:
            log.exception("no picture, because of a bug")
            return await self._fail(job, GenerationFailed())

    async def _after_death(self, job: Job) -> AttemptOutcome:
        try:
            # The pictures that were made are stored; only the others are made again.
            job = await self._store.worker_died(job.id)
        except JobNotActive:
            return AttemptOutcome()
        if job.attempts < MAX_ATTEMPTS:
            return AttemptOutcome(retry=job)
        return await self._fail(job, WorkerDiedTwice())

    async def _put_back(self, job: Job) -> Job | None:
        try:
            return await self._store.requeue(job.id)
        except JobNotActive:
            return None

    async def _fail(self, job: Job, failure: JobFailure) -> AttemptOutcome:
        try:
            sentence = translate_error(job.locale, failure)
            failed = await self._store.fail(job.id, sentence, failure.case_id, failure.charge)
        except JobNotActive:
            return AttemptOutcome()
        self._metrics.job_failed(failure)
        if failure.charge is not None:
            self._metrics.device_used(job.model, "refused", failure.charge)
        return AttemptOutcome(answer=failed)

    async def _generate_all(self, job: Job, slots: Slots) -> None:
        inputs = await load_inputs(self._store.pictures, job)
        steps: dict[int, Progress] = {}
        try:
            async with asyncio.TaskGroup() as group:
                for number in tuple(slots):
                    group.create_task(self._generate(job, number, inputs, slots, steps))
        except ExceptionGroup as failures:
            # The others were cancelled because of the first, or failed for the same reason.
            raise failures.exceptions[0] from failures

    async def _generate(
        self,
        job: Job,
        number: int,
        inputs: JobInputs,
        slots: Slots,
        steps: dict[int, Progress],
    ) -> None:
        context = contextvars.copy_context()

        def on_progress(step: Progress) -> None:
            before = steps.get(number)
            if step.preview is None and before is not None:
                # Not every step has a preview: the last one is shown until there is a new one.
                step = replace(step, preview=before.preview)
            steps[number] = step
            self._estimates.report_steps(job, number, step.total - step.step)
            # In the job's context: the service calls this in its own.
            context.copy().run(self._delivery.show_running, job, self._progress(job, steps))
            status, known = self._service.status, self._estimates.status
            if (status.slots, status.models) != (known.slots, known.models):
                self._request_dispatch()

        try:
            await slots[number]
            result = await self._service.generate(request_of(job, number, inputs), on_progress)
        finally:
            self._slots.release(slots.pop(number))
            self._request_dispatch()
        self._estimates.measure(job, result)
        self._metrics.picture_made(result)
        self._estimates.report_steps(job, number, 0)
        charge = self._accounting.charge(job, number, result)
        made = Picture(result.pixels, result.width, result.height)
        if job.layout == "part" and result.mask is not None:
            made = await asyncio.to_thread(tinted, made, result.mask)
        try:
            await self._checks.check_result(job, inputs.sources, made)
        except ResultRefused as refusal:
            refusal.charge = charge
            raise
        writing = asyncio.create_task(self._put_pictures(made, result))
        try:
            name, depth = await asyncio.shield(writing)
            await self._store.variant_made(
                job.id,
                number,
                name,
                ignored_prompt=result.ignored_prompt,
                depth=depth,
                charge=charge,
            )
            self._metrics.device_used(job.model, "made", charge)
        except BaseException:
            # Cancelled or erased meanwhile. A thread that writes a file cannot be interrupted.
            for stored in await writing:
                if stored is not None:
                    await self._store.discard(stored)
            raise

    async def _put_pictures(self, made: Picture, result: ImageResult) -> tuple[str, str | None]:
        name = await self._store.pictures.put(made)
        try:
            return name, await self._put_depth(result)
        except BaseException:
            await self._store.discard(name)
            raise

    async def _put_depth(self, result: ImageResult) -> str | None:
        if result.depth is None:
            return None
        grey = Image.frombytes("L", (result.width, result.height), result.depth)
        return await self._store.pictures.put(
            Picture(grey.convert("RGB").tobytes(), result.width, result.height)
        )

    def _progress(self, job: Job, steps: dict[int, Progress]) -> JobProgress:
        totals = {number: job.steps_of(job.variants[number]) for number in job.missing}
        totals |= {number: step.total for number, step in steps.items()}
        return JobProgress(
            step=sum(step.step for step in steps.values()),
            total=sum(totals.values()),
            seconds_left=self._estimates.seconds_left(job),
            preview=next((step.preview for step in steps.values() if step.preview), None),
        )
