"""The files that the buttons of a result show: comparisons, depth map, enlarged picture.

Their pictures are checked for the channel of the interaction. Each function raises:

    JobNotFound: the job has no such picture, or it is not stored any more.
    ResultRefused, ResultNotChecked: moderation does not allow it here.
    DoesNotFit: it is too large for the upload limit.
    StillPreparing, TooManyPreparing: an animation or enlarged picture has to wait too long.
"""

from __future__ import annotations

import asyncio

from bot.delivery.message import Upload
from bot.i18n.translate import translate
from bot.images.compose import labelled, shown, shown_factor
from bot.images.encode import Encoded, encode, encode_largest
from bot.images.picture import Picture
from bot.images.upscale import Method, upscale
from bot.images.wipe import wipe
from bot.jobs.job import Job
from cogs.img2img._selected import selected_result, stored_picture
from cogs.shared.errors import JobNotFound
from cogs.shared.job_buttons import Interaction, JobAction
from cogs.shared.renderer import alt_text


async def before_after(interaction: Interaction, job: Job, button: JobAction) -> Upload:
    """The source and the selected result, side by side."""
    both = [
        await asyncio.to_thread(shown, picture) for picture in await _both(interaction, job, button)
    ]
    labels = (
        translate(interaction.locale, "img2img.before"),
        translate(interaction.locale, "img2img.after"),
    )
    sheet = await asyncio.to_thread(labelled, list(zip(both, labels, strict=True)), 2)
    return await _upload(interaction, job, sheet, f"before-after-{job.id}")


async def animation(interaction: Interaction, job: Job, button: JobAction) -> Upload:
    """An animation that wipes from the source to the selected result."""
    before, after = [
        await asyncio.to_thread(shown, picture) for picture in await _both(interaction, job, button)
    ]
    file = await interaction.client.services.slow_work.run(
        interaction.user.id,
        lambda: wipe(before, after, limit_bytes=interaction.filesize_limit),
    )
    return _as_upload(job, file, f"wipe-{job.id}")


async def depth_map(interaction: Interaction, job: Job, _button: JobAction) -> Upload:
    """The depth map that the model used."""
    if job.depth is None:
        raise JobNotFound
    picture = await _postable(interaction, job.depth)
    large = await asyncio.to_thread(shown, picture)
    return await _upload(interaction, job, large, f"depth-{job.id}")


async def larger(
    interaction: Interaction, job: Job, button: JobAction, times: int
) -> tuple[Upload, str]:
    """The selected result, `times` as large as it was posted, and a sentence on how it was made."""
    picture = await _postable(interaction, selected_result(job, button))
    factor = times * shown_factor(picture.width, picture.height)
    limit = interaction.filesize_limit

    def make() -> tuple[Encoded, Picture, bool, Method]:
        large, method = upscale(picture, factor)
        file, fitting = encode_largest(large, limit_bytes=limit, from_text=not job.sources)
        return file, fitting, fitting is not large, method

    file, fitting, reduced, method = await interaction.client.services.slow_work.run(
        interaction.user.id, make
    )
    text = translate(
        interaction.locale,
        "img2img.enlarged" if method == "lanczos" else "img2img.enlarged.span",
        width=fitting.width,
        height=fitting.height,
    )
    if reduced:
        text += " " + translate(
            interaction.locale, "img2img.enlarged.reduced", mebibytes=f"{limit / 2**20:.3g}"
        )
    return _as_upload(job, file, f"redraw-{job.id}-large"), text


async def _both(interaction: Interaction, job: Job, button: JobAction) -> list[Picture]:
    """The source and the selected result."""
    if job.source is None:
        raise JobNotFound
    contents = (job.source, selected_result(job, button))
    return [await _postable(interaction, content) for content in contents]


async def _postable(interaction: Interaction, content: str) -> Picture:
    """A stored picture that may be posted in this channel."""
    services = interaction.client.services
    picture = await stored_picture(services, content)
    await services.checks.check_post(picture, interaction.guild_id, interaction.channel_id or 0)
    return picture


async def _upload(interaction: Interaction, job: Job, picture: Picture, name: str) -> Upload:
    file = await asyncio.to_thread(
        encode, picture, limit_bytes=interaction.filesize_limit, from_text=not job.sources
    )
    return _as_upload(job, file, name)


def _as_upload(job: Job, file: Encoded, name: str) -> Upload:
    return Upload(
        name=f"{name}.{file.extension}",
        data=file.data,
        description=alt_text(job),
        spoiler=job.spoiler,
    )
