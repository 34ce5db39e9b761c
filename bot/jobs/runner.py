"""Takes accepted jobs in order, runs them through the service, and has them answered.

Its tasks are its own, not the Discord client's: they start when the client can send and end before
it closes, and nothing that Discord does can end them.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import time
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Protocol, Self

from PIL import Image

from bot.jobs.job import Job, JobProgress, JobState, Place, Variant
from bot.jobs.queue import FairQueue
from bot.jobs.store import Store
from bot.picture import Picture
from inference import (
    Img2ImgRequest,
    Img2ImgResult,
    InferenceError,
    InferenceService,
    ModelUnavailable,
    Progress,
    ServiceStopped,
    WorkerDied,
)

log = logging.getLogger(__name__)

# A job whose worker died is tried once more.
MAX_ATTEMPTS = 2
RETENTION_SECONDS = 600.0


class Answers(Protocol):
    """What the runner needs of delivery."""

    def show_queued(self, job: Job, place: Place) -> None:
        """Show a place in line, when there is room for an edit."""
        ...

    def show_progress(self, job: Job, progress: JobProgress) -> None:
        """Show progress, when there is room for an edit."""
        ...

    async def answer(self, job: Job) -> Job:
        """Give the person the pictures, or the sentence; the job as it is stored then."""
        ...


@dataclasses.dataclass(slots=True)
class _Running:
    job: Job
    task: asyncio.Task[None]
    cancelled: bool = False
    done_steps: dict[str, int] = dataclasses.field(default_factory=dict)

    @property
    def steps_left(self) -> int:
        return max(0, self.job.total_steps - sum(self.done_steps.values()))


class Runner:
    """`async with Runner(...)`: takes up what was left unanswered, then whatever is accepted."""

    def __init__(
        self,
        *,
        store: Store,
        service: InferenceService,
        delivery: Answers,
        queue: FairQueue,
        retention_hours: float = 24.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._service = service
        self._delivery = delivery
        self.queue = queue
        self._retention_hours = retention_hours
        self._clock = clock
        self._running: dict[str, _Running] = {}
        self._answering: dict[str, tuple[asyncio.Task[None], int]] = {}
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._loops: list[asyncio.Task[None]] = []
        self._stopping = False

    async def __aenter__(self) -> Self:
        for job in await self._store.unanswered():
            if job.state in (JobState.QUEUED, JobState.RUNNING):
                self.queue.push(job)
            else:
                self._answer_soon(job)
        self._loops = [
            asyncio.create_task(self._dispatch(), name="dispatch"),
            asyncio.create_task(self._forget(), name="forget"),
        ]
        self._stir()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stopping = True
        work = [*self._loops, *(running.task for running in self._running.values())]
        for task in work:
            task.cancel()
        # Answers under way are given a moment; what is not out by then goes out at the next start.
        late = [task for task, _ in self._answering.values()]
        if late:
            await asyncio.wait(late, timeout=3.0)
        for task in late:
            task.cancel()
        await asyncio.gather(*work, *late, return_exceptions=True)

    async def accept(self, job: Job) -> Place:
        """Remember the job for good and put it in line.

        Raises:
            PersonError: the queue does not take it; nothing was remembered.
        """
        running = sum(r.job.user_id == job.user_id for r in self._running.values())
        self.queue.admit(job, running=running, slots=self._slots)
        # In line before it is on disk, so that a second request at the same moment is counted.
        self.queue.push(job)
        try:
            await self._store.accept(job)
        except BaseException:
            self.queue.remove(job.id)
            raise
        place = self.places().get(job.id, Place(ahead=0, seconds=None))
        self._delivery.show_queued(job, place)
        self._stir()
        return place

    async def cancel(self, job_id: str) -> bool:
        """End a job that waits or runs; False if it is already made. Its answer says so."""
        job = self.queue.remove(job_id)
        if job is not None:
            await self._finish(job, JobState.CANCELLED)
            return True
        running = self._running.get(job_id)
        if running is None or running.task.done():
            return False
        running.cancelled = True
        running.task.cancel()
        await asyncio.wait({running.task})
        return True

    def places(self) -> dict[str, Place]:
        """Every waiting job's place in line."""
        steps = sum(running.steps_left for running in self._running.values())
        return self.queue.places(running_steps=steps, slots=self._slots)

    @property
    def running(self) -> tuple[Job, ...]:
        """The jobs that are being made now."""
        return tuple(running.job for running in self._running.values())

    async def wait_idle(self) -> None:
        """Until nothing waits, runs or is being answered."""
        await self._idle.wait()

    async def wait_answered(self, user_id: int) -> None:
        """Until every answer to a person that is under way has arrived or failed."""
        mine = [task for task, owner in self._answering.values() if owner == user_id]
        if mine:
            await asyncio.wait(mine)

    @property
    def _slots(self) -> int:
        return max(1, self._service.status.slots)

    def _stir(self) -> None:
        self._idle.clear()
        self._wake.set()

    async def _dispatch(self) -> None:
        while True:
            used = sum(len(r.job.variants) for r in self._running.values())
            if len(self.queue) and used < self._slots:
                job = self.queue.pop()
                assert job is not None
                task = asyncio.create_task(self._run(job), name=f"job {job.id}")
                self._running[job.id] = _Running(job, task)
                task.add_done_callback(partial(self._ended, job.id))
                continue
            if not (len(self.queue) or self._running or self._answering):
                self._idle.set()
            self._wake.clear()
            await self._wake.wait()

    def _ended(self, job_id: str, _: asyncio.Task[None]) -> None:
        running = self._running.pop(job_id)
        if not running.task.cancelled() and (error := running.task.exception()) is not None:
            log.error("job %s", job_id, exc_info=error)
        for job in self.queue.order():
            if place := self.places().get(job.id):
                self._delivery.show_queued(job, place)
        self._stir()

    async def _run(self, job: Job) -> None:
        """One attempt at a job: running → made, or back in line, or failed, or cancelled."""
        if job.attempts >= MAX_ATTEMPTS:
            sentence = "The model broke down over this picture twice: try another size or prompt."
            await self._finish(job, JobState.FAILED, error=sentence)
            return
        try:
            job = await self._store.change(
                job.id,
                state=JobState.RUNNING,
                attempts=job.attempts + 1,
                started_at=self._clock(),
            )
            results = await self._generate(job)
            made = await self._store_results(job, results)
        except asyncio.CancelledError:
            running = self._running.get(job.id)
            if running is not None and running.cancelled:
                await self._finish(job, JobState.CANCELLED)
            else:
                # The bot is stopping, which is not the job's fault.
                await self._put_back(job, attempts=job.attempts - 1)
        except WorkerDied:
            await self._put_back(job, attempts=job.attempts)
            if not self._stopping:
                self.queue.push(dataclasses.replace(job, state=JobState.QUEUED), first=True)
        except (ServiceStopped, ModelUnavailable):
            # Kept for the next start.
            await self._put_back(job, attempts=job.attempts - 1)
        except InferenceError as error:
            await self._finish(job, JobState.FAILED, error=str(error))
        except Exception:
            log.exception("job %s", job.id)
            sentence = f"Something went wrong on my side (reference {job.id})."
            await self._finish(job, JobState.FAILED, error=sentence)
        else:
            self._answer_soon(made)

    async def _put_back(self, job: Job, *, attempts: int) -> None:
        await self._store.change(job.id, state=JobState.QUEUED, attempts=max(0, attempts))

    async def _generate(self, job: Job) -> list[Img2ImgResult]:
        source = await self._store.pictures.get(job.source)
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(
                        self._service.generate(
                            self._request(job, number, variant, source),
                            lambda progress: self._progress(job, progress),
                        )
                    )
                    for number, variant in enumerate(job.variants)
                ]
        except* InferenceError as errors:
            # The first to fail ended the others; it is the one to answer for.
            raise errors.exceptions[0] from None
        return [task.result() for task in tasks]

    def _request(self, job: Job, number: int, variant: Variant, source: Picture) -> Img2ImgRequest:
        return Img2ImgRequest(
            id=f"{job.id}-{number}",
            pixels=source.pixels,
            width=source.width,
            height=source.height,
            prompt=job.prompt,
            negative_prompt=job.negative_prompt,
            strength=variant.strength,
            steps=job.steps,
            guidance_scale=job.guidance_scale,
            seed=variant.seed,
            # One picture grows before the person's eyes; that is enough.
            preview=number == 0,
            return_depth=number == 0,
        )

    def _progress(self, job: Job, progress: Progress) -> None:
        running = self._running.get(job.id)
        if running is None or running.cancelled:
            return
        running.done_steps[progress.id] = progress.step
        pace = self.queue.seconds_per_step
        self._delivery.show_progress(
            job,
            JobProgress(
                step=sum(running.done_steps.values()),
                total=job.total_steps,
                seconds_left=None if pace is None else running.steps_left * pace,
                preview=progress.preview,
            ),
        )

    async def _store_results(self, job: Job, results: list[Img2ImgResult]) -> Job:
        variants = []
        for variant, result in zip(job.variants, results, strict=True):
            picture = Picture(result.pixels, result.width, result.height)
            name = await self._store.pictures.put(picture)
            variants.append(dataclasses.replace(variant, result=name))
            self.queue.measured(result.timings.total, result.steps_run)
        depth = None
        if results[0].depth is not None:
            size = (results[0].width, results[0].height)
            grey = Image.frombytes("L", size, results[0].depth)
            depth = await self._store.pictures.put(Picture(grey.convert("RGB").tobytes(), *size))
        now = self._clock()
        return await self._store.change(
            job.id,
            state=JobState.MADE,
            variants=tuple(variants),
            depth=depth,
            ignored_prompt=results[0].ignored_prompt,
            seconds=now - (job.started_at or now),
        )

    async def _finish(self, job: Job, state: JobState, error: str | None = None) -> None:
        job = await self._store.change(job.id, state=state, error=error, finished_at=self._clock())
        self._answer_soon(job)

    def _answer_soon(self, job: Job) -> None:
        """Answer in a task of its own: a slow Discord must not keep the device waiting."""
        task = asyncio.create_task(self._answer(job), name=f"answer {job.id}")
        self._answering[job.id] = (task, job.user_id)
        task.add_done_callback(partial(self._answered, job.id))

    def _answered(self, job_id: str, _: asyncio.Task[None]) -> None:
        self._answering.pop(job_id, None)
        self._stir()

    async def _answer(self, job: Job) -> None:
        try:
            await self._delivery.answer(job)
        except Exception:
            log.exception("job %s is made but could not be answered; trying at next start", job.id)

    async def _forget(self) -> None:
        """Delete what is older than the operator keeps, now and every ten minutes."""
        while True:
            with contextlib.suppress(OSError):
                await self._store.forget_before(self._clock() - self._retention_hours * 3600)
            await asyncio.sleep(RETENTION_SECONDS)
