"""The buttons that show a job's pictures in another form: *Before/after*, *Depth*, *Larger*."""

from __future__ import annotations

import asyncio
import io

import discord

from bot.i18n.translate import translate
from bot.images.compose import enlarged, labelled, shown, shown_factor
from bot.images.encode import encode
from bot.images.picture import Picture
from bot.jobs.job import Job
from cogs.img2img._selected import selected_result, stored_picture
from cogs.shared.access import AccessRule
from cogs.shared.errors import JobNotFound
from cogs.shared.job_buttons import Action, Interaction, JobAction, JobButton

# How many times larger than it was posted "Larger" makes a picture.
LARGER_FACTOR = 2


class Compare(JobAction):
    """Show the source and the result side by side, to the user alone."""

    action = Action.COMPARE
    access = AccessRule.SOURCE

    async def run(self, interaction: Interaction, job: Job) -> None:
        """Show both.

        Raises:
            JobNotFound: the job has no source.
        """
        if job.source is None:
            raise JobNotFound
        result = selected_result(job, self)
        await interaction.response.defer(thinking=True, ephemeral=True)
        both = [
            await asyncio.to_thread(shown, await _postable(interaction, content))
            for content in (job.source, result)
        ]
        labels = (
            translate(interaction.locale, "img2img.before"),
            translate(interaction.locale, "img2img.after"),
        )
        sheet = await asyncio.to_thread(labelled, list(zip(both, labels, strict=True)), 2)
        await _show(interaction, sheet, f"before-after-{job.id}", spoiler=job.spoiler)


class Depth(JobAction):
    """Show the depth map that the model used, to the user alone."""

    action = Action.DEPTH
    access = AccessRule.SOURCE

    async def run(self, interaction: Interaction, job: Job) -> None:
        """Show the depth map.

        Raises:
            JobNotFound: no depth map is stored.
        """
        if job.depth is None:
            raise JobNotFound
        await interaction.response.defer(thinking=True, ephemeral=True)
        picture = await _postable(interaction, job.depth)
        large = await asyncio.to_thread(shown, picture)
        await _show(interaction, large, f"depth-{job.id}", spoiler=job.spoiler)


class Larger(JobAction):
    """Show the result at twice its posted size; post it if the user is the owner."""

    action = Action.LARGER
    access = AccessRule.RESULT
    refused_to_banned = True

    async def run(self, interaction: Interaction, job: Job) -> None:
        """Post the enlarged picture."""
        result = selected_result(job, self)
        ephemeral = job.destination.private or job.user_id != interaction.user.id
        await interaction.response.defer(thinking=True, ephemeral=ephemeral)
        picture = await _postable(interaction, result)
        factor = LARGER_FACTOR * shown_factor(picture.width, picture.height)
        large = await asyncio.to_thread(enlarged, picture, factor)
        text = translate(
            interaction.locale, "img2img.enlarged", width=large.width, height=large.height
        )
        name = f"redraw-{job.id}-large"
        # Only its owner can delete an ephemeral message, in Discord's own menu.
        delete = None if ephemeral else JobButton(Action.DELETE, job)
        await _show(interaction, large, name, text, spoiler=job.spoiler, button=delete)


async def _postable(interaction: Interaction, content: str) -> Picture:
    """A stored picture that may be posted in this channel."""
    services = interaction.client.services
    picture = await stored_picture(services, content)
    await services.checks.check_post(picture, interaction.guild_id, interaction.channel_id or 0)
    return picture


async def _show(
    interaction: Interaction,
    picture: Picture,
    name: str,
    text: str = "",
    *,
    spoiler: bool = False,
    button: JobButton | None = None,
) -> None:
    file = await asyncio.to_thread(encode, picture, limit_bytes=interaction.filesize_limit)
    upload = discord.File(io.BytesIO(file.data), f"{name}.{file.extension}", spoiler=spoiler)
    view: discord.ui.View = discord.utils.MISSING
    if button is not None:
        view = discord.ui.View(timeout=None)
        view.add_item(button)
    await interaction.edit_original_response(content=text, attachments=[upload], view=view)
