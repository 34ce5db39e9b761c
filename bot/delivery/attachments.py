"""Encodes a job's pictures as the attachments of its answer."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence

from bot.delivery.message import Upload
from bot.images.compose import labelled, shown
from bot.images.encode import describe_settings, encode_all
from bot.images.picture import Picture
from bot.jobs.job import Job
from inference import Option

# One request to Discord holds 25 MiB; the rest is for the message itself.
# https://discord.com/developers/docs/reference#uploading-files
REQUEST_BYTES = 24 * 2**20


async def encode_job(
    job: Job, pictures: Sequence[Picture], *, alt: str, options: frozenset[Option] | None
) -> tuple[Upload, ...]:
    """A job's pictures as attachments that fit together into one request.

    `alt` is their alternative text; `options` are the settings that had an effect on the
    job: they are written to PNG files, unless None.
    """
    pictures = [await asyncio.to_thread(shown, picture) for picture in pictures]
    if job.layout == "grid":
        labels = [variant.label for variant in job.variants]
        columns = 2 if len(pictures) <= 4 else 3
        sheet = await asyncio.to_thread(labelled, list(zip(pictures, labels, strict=True)), columns)
        job, pictures = dataclasses.replace(job, variants=job.variants[:1]), [sheet]
    texts = [
        describe_settings(
            prompt=job.prompt,
            negative_prompt=job.negative_prompt,
            steps=job.steps,
            guidance_scale=job.guidance_scale if "guidance" in options else None,
            strength=variant.strength if "strength" in options else None,
            seed=variant.seed,
            width=job.width,
            height=job.height,
            model=job.model,
        )
        if options is not None
        else None
        for variant in job.variants
    ]
    files = await encode_all(
        list(zip(pictures, texts, strict=True)),
        limit_bytes=job.destination.upload_limit,
        request_bytes=REQUEST_BYTES,
        from_text=not job.sources,
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
