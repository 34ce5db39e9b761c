"""The engine's requests of a job, from its stored pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from bot.images.picture import Picture
from bot.jobs.job import Job
from bot.store.picture_files import PictureFiles
from inference import ImageRequest
from inference import Picture as ReferencePicture


@dataclass(frozen=True, slots=True, kw_only=True)
class JobInputs:
    """The pictures that a job's variants share; `mask` is 8-bit grey, `structure` RGB."""

    sources: Sequence[Picture]
    mask: bytes | None
    structure: bytes | None


async def load_inputs(pictures: PictureFiles, job: Job) -> JobInputs:
    """Read the job's stored pictures.

    Raises:
        StoredPictureMissing: one of them is not stored any more.
    """
    mask = None if job.mask is None else await pictures.get(job.mask)
    structure = None if job.structure is None else await pictures.get(job.structure)
    return JobInputs(
        sources=[await pictures.get(name) for name in job.sources],
        mask=None if mask is None else grey_of(mask),
        structure=None if structure is None else structure.pixels,
    )


def grey_of(picture: Picture) -> bytes:
    """The picture as 8-bit grey, row-major."""
    size = (picture.width, picture.height)
    return Image.frombytes("RGB", size, picture.pixels).convert("L").tobytes()


def request_of(job: Job, number: int, inputs: JobInputs) -> ImageRequest:
    """The request for the variant with this number."""
    variant = job.variants[number]
    own = 0 if job.source is None else 1
    return ImageRequest(
        # Each attempt has its own id, so that late messages of the first are not mistaken.
        id=f"{job.id}-{number}-{job.attempts + 1}",
        pixels=b"".join(source.pixels for source in inputs.sources[:own]),
        width=job.width,
        height=job.height,
        references=tuple(
            ReferencePicture(pixels=each.pixels, width=each.width, height=each.height)
            for each in inputs.sources[own:]
        ),
        prompt=job.prompt_of(variant),
        negative_prompt=job.negative_prompt_of(variant),
        strength=variant.strength,
        steps=job.steps,
        guidance_scale=job.guidance_scale,
        seed=variant.seed,
        mask=inputs.mask,
        part=job.part,
        part_threshold=job.part_threshold,
        structure=inputs.structure,
        tile=job.tile,
        return_mask=job.layout == "part",
        # One preview and one depth map per job.
        preview=number == 0,
        return_depth=number == 0 and job.tile is None,
        model=job.model,
    )
