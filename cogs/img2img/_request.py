"""Turns a user's request, from any command or button, into an accepted job."""

from __future__ import annotations

import dataclasses
import secrets
import time
from dataclasses import dataclass
from typing import Literal

import discord

from bot.client import RedrawBot, Services
from bot.errors import ModelFailed
from bot.images.picture import Picture
from bot.jobs.job import Destination, Job, Variant, new_job_id
from bot.permissions import check_permissions
from cogs.img2img._sources import DownloadedImage
from cogs.shared.errors import EmptyPrompt, TooManySteps
from inference import ServiceState

# Seeds have 32 bits, so that users can read and type them and other tools take them.
MAX_SEED = 2**32 - 1
# An interaction token is valid for 15 minutes.
# https://discord.com/developers/docs/interactions/receiving-and-responding#followup-messages
TOKEN_SECONDS = 15 * 60
# The strengths of the "Strengths" sheet.
GRID_STRENGTHS = (0.1, 0.4, 0.7, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """The settings of a request. None stands for the model's default, and for a random seed."""

    prompt: str
    negative_prompt: str = ""
    strength: float | None = None
    steps: int | None = None
    guidance: float | None = None
    seed: int | None = None
    count: int = 1
    style: str | None = None
    private: bool = False
    layout: Literal["pictures", "grid"] = "pictures"
    parent_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSource:
    """A verified and stored source picture: its content hash, size, and name as users read it."""

    stored: str
    width: int
    height: int
    name: str
    spoiler: bool = False


def draft_of(job: Job) -> Draft:
    """The settings of the job, with a random seed, and the job as the parent."""
    return Draft(
        prompt=job.prompt,
        negative_prompt=job.negative_prompt,
        strength=job.variants[0].strength if job.layout == "pictures" else None,
        steps=job.steps,
        guidance=job.guidance_scale,
        count=len(job.variants) if job.layout == "pictures" else 1,
        private=job.destination.private,
        parent_id=job.id,
    )


def source_of(job: Job) -> StoredSource:
    """The source of the job."""
    return StoredSource(
        stored=job.source,
        width=job.width,
        height=job.height,
        name=job.source_name,
        spoiler=job.spoiler,
    )


def check_draft(draft: Draft, services: Services) -> Draft:
    """Check what can be checked before the source is fetched; return the draft, prompt stripped.

    Raises:
        EmptyPrompt, TooManySteps: the draft is not valid.
        ModelFailed: the model cannot run.
    """
    if not draft.prompt.strip():
        raise EmptyPrompt
    limit = services.settings.max_steps
    if draft.steps is not None and draft.steps > limit:
        raise TooManySteps(limit=limit)
    if services.inference.status.state is ServiceState.FAILED:
        raise ModelFailed
    return dataclasses.replace(draft, prompt=draft.prompt.strip())


async def acknowledge(
    interaction: discord.Interaction[RedrawBot], *, private: bool = False
) -> Destination:
    """Defer the reply, within Discord's three seconds; return the message that becomes the answer.

    Raises:
        MissingPermissions: the bot may not post the picture here.
    """
    check_permissions(interaction)
    response = await interaction.response.defer(thinking=True, ephemeral=private)
    assert response is not None
    assert response.message_id is not None
    assert interaction.channel_id is not None
    return Destination(
        application_id=interaction.application_id,
        channel_id=interaction.channel_id,
        guild_id=interaction.guild_id,
        message_id=response.message_id,
        token=interaction.token,
        # This machine's clock, because delivery compares with it.
        token_expires_at=time.time() + TOKEN_SECONDS,
        private=private,
        upload_limit=interaction.filesize_limit,
    )


async def verify(services: Services, source: DownloadedImage) -> StoredSource:
    """Decode untrusted bytes in the sandbox and store the picture.

    Raises:
        PictureError: the bytes are not a usable picture.
    """
    model = services.model
    picture: Picture = await services.intake.from_bytes(
        source.data, pixels=model.pixels, multiple=model.multiple
    )
    return StoredSource(
        stored=await services.store.pictures.put(picture),
        width=picture.width,
        height=picture.height,
        name=source.name,
        spoiler=source.spoiler,
    )


async def submit(
    services: Services,
    draft: Draft,
    source: StoredSource,
    destination: Destination,
    *,
    user: discord.User | discord.Member,
    locale: str,
) -> Job:
    """Create the job and hand it to the runner, which answers it exactly once.

    Raises:
        UserError: the style is unknown, or the queue does not accept the job.
    """
    model = services.model
    styled = services.styles.apply(draft.style, draft.prompt, draft.negative_prompt)
    strength = draft.strength or styled.strength or model.strength
    seed = secrets.randbelow(MAX_SEED + 1) if draft.seed is None else draft.seed
    if draft.layout == "grid":
        variants = tuple(Variant(seed=seed, strength=each) for each in GRID_STRENGTHS)
    else:
        variants = tuple(
            Variant(seed=(seed + number) % (MAX_SEED + 1), strength=strength)
            for number in range(draft.count)
        )
    job = Job(
        id=new_job_id(),
        user_id=user.id,
        destination=destination,
        source=source.stored,
        source_name=source.name,
        width=source.width,
        height=source.height,
        prompt=styled.prompt,
        negative_prompt=styled.negative_prompt,
        steps=draft.steps or min(model.steps, services.settings.max_steps),
        guidance_scale=model.guidance_scale if draft.guidance is None else draft.guidance,
        variants=variants,
        layout=draft.layout,
        style=draft.style,
        spoiler=source.spoiler,
        parent_id=draft.parent_id,
        locale=locale,
        weight=weight_of(user, services.settings.role_weights),
        model=model.name,
        created_at=time.time(),
    )
    await services.runner.accept(job)
    return job


def weight_of(user: discord.User | discord.Member, weights: dict[int, int]) -> int:
    """The turns that the user gets in a round of the queue: the highest of their roles' weights."""
    roles = user.roles if isinstance(user, discord.Member) else []
    return max((weights[role.id] for role in roles if role.id in weights), default=1)
