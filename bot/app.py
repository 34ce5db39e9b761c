"""Puts the house together: opens every service in order, passes it in, closes in reverse."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from bot.client import RedrawBot, Services
from bot.config import Settings
from bot.delivery import Delivery, Upload
from bot.encode import describe_settings, encode_all
from bot.intake import Intake, IntakeLimits
from bot.jobs.job import Job
from bot.jobs.queue import FairQueue
from bot.jobs.runner import Runner
from bot.jobs.store import Store
from bot.montage import labelled, shown
from bot.picture import Picture
from bot.styles import SHIPPED, Styles
from cogs.img2img.view import Img2ImgPresenter
from inference import InferenceService, ServiceState, find_model

# One request to Discord holds 25 MiB; the rest of it is the message itself.
# https://discord.com/developers/docs/reference#uploading-files
REQUEST_BYTES = 24 * 2**20


async def encode_job(
    job: Job, pictures: Sequence[Picture], *, alt: str, write_settings: bool
) -> tuple[Upload, ...]:
    """A job's pictures as the files of its answer, all within one request."""
    pictures = [await asyncio.to_thread(shown, picture) for picture in pictures]
    if job.layout == "grid":
        labels = [f"{variant.strength:g}" for variant in job.variants]
        sheet = await asyncio.to_thread(labelled, list(zip(pictures, labels, strict=True)), 2)
        job, pictures = dataclasses.replace(job, variants=job.variants[:1]), [sheet]
    texts = [
        describe_settings(
            prompt=job.prompt,
            negative_prompt=job.negative_prompt,
            steps=job.steps,
            guidance_scale=job.guidance_scale,
            strength=variant.strength,
            seed=variant.seed,
            width=job.width,
            height=job.height,
            model=job.model,
        )
        if write_settings
        else None
        for variant in job.variants
    ]
    files = await encode_all(
        list(zip(pictures, texts, strict=True)),
        limit_bytes=job.destination.upload_limit,
        request_bytes=REQUEST_BYTES,
    )
    return tuple(
        Upload(
            name=f"redraw-{job.id}-{number}.{file.extension}",
            data=file.data,
            description=alt,
            spoiler=job.spoiler,
        )
        for number, file in enumerate(files, start=1)
    )


@asynccontextmanager
async def open_bot(settings: Settings, inference: InferenceService) -> AsyncIterator[RedrawBot]:
    """A bot with all of its services open, not yet connected to Discord.

    The runner is given with it, not yet running: whoever starts the bot enters it once the bot can
    send, and leaves it before the bot closes.

    Raises:
        StoreLocked: another bot process has this data directory open.
        ModelUnavailable: `MODEL` names nothing.
    """
    model = find_model(settings.model)
    presenter = Img2ImgPresenter(lambda: inference.status.state is ServiceState.READY)

    async def encode(job: Job, pictures: Sequence[Picture]) -> tuple[Upload, ...]:
        return await encode_job(
            job, pictures, alt=presenter.alt(job), write_settings=settings.write_settings
        )

    async with (
        Store.open(settings.data_dir) as store,
        Intake(IntakeLimits.from_settings(settings)) as intake,
    ):
        bot = RedrawBot(settings)
        delivery = Delivery(bot, presenter, store, encode)
        queue = FairQueue(
            limit=settings.queue_limit, limit_per_person=settings.queue_limit_per_person
        )
        bot.services = Services(
            settings=settings,
            model=model,
            intake=intake,
            store=store,
            delivery=delivery,
            runner=Runner(
                store=store,
                service=inference,
                delivery=delivery,
                queue=queue,
                retention_hours=settings.retention_hours,
            ),
            styles=Styles(settings.styles_file or SHIPPED),
            inference=inference,
        )
        yield bot
