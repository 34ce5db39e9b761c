"""Makes the pictures of one job: each variant a request to the engine, each result stored."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from dataclasses import replace

from PIL import Image

from bot.delivery.delivery import Delivery
from bot.images.picture import Picture
from bot.jobs.job import Job, JobProgress
from bot.jobs.queue import FairQueue
from bot.runner.batch_slots import BatchSlots, Ticket
from bot.store.store import Store
from inference import Img2ImgRequest, Img2ImgResult, InferenceService, Progress

Tickets = dict[int, Ticket]
"""The number of a variant → its place in the engine's batch."""


class JobAttempt:
    """`stir` is called whenever the engine may have room for more."""

    def __init__(
        self,
        *,
        store: Store,
        service: InferenceService,
        delivery: Delivery,
        queue: FairQueue,
        slots: BatchSlots,
        request_dispatch: Callable[[], None],
    ) -> None:
        self._store = store
        self._service = service
        self._delivery = delivery
        self._queue = queue
        self._slots = slots
        self._request_dispatch = request_dispatch

    async def make(self, job: Job, tickets: Tickets) -> None:
        """Make what is missing of a started job. Tickets of variants that were begun are used up.

        Raises:
            InferenceError: what the engine said of the first variant that failed.
            PictureLost: the source is not there any more.
            JobGone: the job was ended meanwhile.
        """
        source = await self._store.pictures.get(job.source)
        steps: dict[int, Progress] = {}
        try:
            async with asyncio.TaskGroup() as group:
                for number in tuple(tickets):
                    group.create_task(self._make_one(job, number, source, tickets, steps))
        except ExceptionGroup as failures:
            # The first says it; the others were cancelled, or failed for the same reason.
            raise failures.exceptions[0] from failures

    async def _make_one(
        self,
        job: Job,
        number: int,
        source: Picture,
        tickets: Tickets,
        steps: dict[int, Progress],
    ) -> None:
        own = contextvars.copy_context()

        def on_progress(step: Progress) -> None:
            before = steps.get(number)
            if step.preview is None and before is not None:
                # Edits are fewer than steps: the last glimpse is shown until there is a new one.
                step = replace(step, preview=before.preview)
            steps[number] = step
            self._queue.stepped(job.id, number, step.total - step.step)
            # In the job's own context: news of steps comes in the service's.
            own.copy().run(self._delivery.show_progress, job, self._progress(job, steps))
            if self._service.status.slots != self._queue.slots:
                self._request_dispatch()

        try:
            await tickets[number]
            request = _request(job, number, source)
            result = await self._service.generate(request, on_progress)
        finally:
            self._slots.give_back(tickets.pop(number))
            self._request_dispatch()
        self._queue.estimator.measure(result)
        self._queue.stepped(job.id, number, 0)
        made = Picture(result.pixels, result.width, result.height)
        await self._store.variant_made(
            job.id,
            number,
            await self._store.pictures.put(made),
            ignored_prompt=result.ignored_prompt,
            depth=await self._put_depth(result),
        )

    async def _put_depth(self, result: Img2ImgResult) -> str | None:
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
            seconds_left=self._queue.seconds_left(job.id),
            preview=next((step.preview for step in steps.values() if step.preview), None),
        )


def _request(job: Job, number: int, source: Picture) -> Img2ImgRequest:
    variant = job.variants[number]
    return Img2ImgRequest(
        # Of its own for each attempt, so that late news of the first cannot be mistaken.
        id=f"{job.id}-{number}-{job.attempts}",
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
