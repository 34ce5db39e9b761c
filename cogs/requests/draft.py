"""The settings of a request before it is a job: from the user, or from an earlier job."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import discord

from bot.client import RedrawBot, Services
from bot.i18n.translate import translate
from bot.jobs.job import Job, Variant
from cogs.requests.pictures.stored_source import StoredSource
from inference import Option, Part, Task

# Seeds have 32 bits, so that users can read and type them and other tools take them.
MAX_SEED = 2**32 - 1
# The highest number of steps that a command takes.
MAX_STEPS = 150
# The strengths of the "Strengths" sheet.
GRID_STRENGTHS = (0.1, 0.4, 0.7, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """The settings of a request. None stands for the default, and for a random seed."""

    prompt: str
    task: Task = "img2img"
    model: str | None = None
    negative_prompt: str = ""
    strength: float | None = None
    steps: int | None = None
    guidance: float | None = None
    seed: int | None = None
    count: int = 1
    style: str | None = None
    private: bool | None = None
    layout: Literal["pictures", "grid", "part"] = "pictures"
    part: Part = "everything"
    part_threshold: float | None = None
    # The pictures that the request gives beside its source: `mask`, `structure`.
    guides: frozenset[Option] = frozenset()
    # As in `Job`: a larger picture is redrawn in tiles of this size.
    tile: tuple[int, int] | None = None
    # The styles of a grid; without them it shows strengths.
    styles: tuple[str, ...] = ()
    parent_id: str | None = None

    @property
    def pictures(self) -> int:
        """How many pictures the request makes."""
        if self.layout == "part":
            return 1
        return len(self.styles or GRID_STRENGTHS) if self.layout == "grid" else self.count


def draft_of(services: Services, job: Job, variant: Variant | None = None) -> Draft:
    """The settings that had an effect on the job, with a random seed, and the job as the parent.

    `variant`: the picture whose style is taken, of a sheet of styles.
    """
    options = services.models.options_of(job)
    strength = job.variants[0].strength if job.layout != "grid" else None
    return Draft(
        prompt=job.shown_prompt,
        task=job.task,
        model=job.model or None,
        negative_prompt=job.shown_negative_prompt,
        style=(variant and variant.style) or (job.style if job.user_prompt is not None else None),
        strength=strength if "strength" in options else None,
        # A job that showed its part took no steps.
        steps=job.steps or None,
        guidance=job.guidance_scale if "guidance" in options else None,
        count=len(job.variants) if job.layout == "pictures" else 1,
        part=job.part,
        part_threshold=job.part_threshold if job.part != "everything" else None,
        tile=job.tile,
        private=job.destination.private,
        parent_id=job.id,
    )


def source_of(job: Job, interaction: discord.Interaction[RedrawBot]) -> StoredSource:
    """The pictures of the job, for a new request.

    In another channel than the job's, they count as taken from the job's channel, and their names
    do not tell where the job found them.
    """
    elsewhere = job.destination.channel_id != interaction.channel_id
    earlier = translate(interaction.locale, "img2img.source.earlier")
    name = earlier if elsewhere and job.source is not None else job.source_name
    references = (
        StoredSource(
            stored=each.stored,
            width=each.width,
            height=each.height,
            name=earlier if elsewhere else each.name,
            channel_id=each.channel_id or job.destination.channel_id,
        )
        for each in job.references
    )
    return StoredSource(
        stored=job.source,
        width=job.width,
        height=job.height,
        name=name,
        spoiler=job.spoiler,
        age_restricted=job.age_restricted,
        channel_id=job.source_channel_id or job.destination.channel_id,
        mask=job.mask,
        structure=job.structure,
        references=tuple(references),
    )
