"""The buttons of a job's message: one class per button."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import io

import discord

from bot.client import Services
from bot.errors import StoredPictureMissing
from bot.i18n.translate import translate
from bot.images.compose import enlarged, labelled, shown, shown_factor
from bot.images.encode import encode
from bot.images.picture import Picture
from bot.jobs.job import Job
from bot.replies import reply_privately
from cogs.img2img._forms import RequestModal
from cogs.img2img._request import (
    Draft,
    draft_of,
    source_of,
    submit_request,
)
from cogs.img2img._sources import StoredSource
from cogs.shared.access import AccessRule
from cogs.shared.errors import AlreadyFinished, JobNotFound, NotDeleted
from cogs.shared.job_buttons import ASK, Action, Interaction, JobAction, JobButton, rows
from cogs.shared.job_messages import delete_job_messages

# The strength of "Vary": most of the picture stays as it is.
VARY_STRENGTH = 0.35
# How many times larger than it was posted "Larger" makes a picture.
LARGER_FACTOR = 2


class Cancel(JobAction):
    """End a waiting or running job."""

    action = Action.CANCEL
    access = AccessRule.OWNER_OR_MODERATOR

    async def run(self, interaction: Interaction, job: Job) -> None:
        """End the job.

        Raises:
            AlreadyFinished: the job neither waits nor runs.
        """
        if not await interaction.client.services.runner.cancel(job.id):
            raise AlreadyFinished
        await reply_privately(interaction, translate(interaction.locale, "img2img.cancel.done"))


class Again(JobAction):
    """Submit the same request with a new seed."""

    action = Action.AGAIN
    access = AccessRule.SOURCE

    async def run(self, interaction: Interaction, job: Job) -> None:
        """Submit the request."""
        await _submit(interaction, draft_of(job), source_of(job, interaction))


class Vary(JobAction):
    """Submit a request with low strength, with the result as its source."""

    action = Action.VARY
    access = AccessRule.RESULT

    async def run(self, interaction: Interaction, job: Job) -> None:
        """Submit the request, or ask first which picture is meant."""
        result = await _choose_result(interaction, job, self)
        if result is not None:
            draft = dataclasses.replace(draft_of(job), strength=VARY_STRENGTH, count=1)
            await _submit(interaction, draft, _result_as_source(interaction, job, result))


class Strengths(JobAction):
    """Submit the same request and seed at four strengths, as one labelled picture."""

    action = Action.STRENGTHS
    access = AccessRule.SOURCE

    async def run(self, interaction: Interaction, job: Job) -> None:
        """Submit the request."""
        draft = dataclasses.replace(
            draft_of(job), layout="grid", seed=job.variants[0].seed, strength=None
        )
        await _submit(interaction, draft, source_of(job, interaction))


class Edit(JobAction):
    """Open a form with the job's settings."""

    action = Action.EDIT
    access = AccessRule.SOURCE

    async def run(self, interaction: Interaction, job: Job) -> None:
        """Open the form. Submitting it submits a request with the same source."""
        draft = dataclasses.replace(draft_of(job), seed=job.variants[0].seed, count=1)
        await interaction.response.send_modal(
            RequestModal(
                draft, source_of(job, interaction), str(interaction.locale), submitted=_submit
            )
        )


class Use(JobAction):
    """Open a form for a request whose source is the result."""

    action = Action.USE
    access = AccessRule.RESULT

    async def run(self, interaction: Interaction, job: Job) -> None:
        """Open the form, or ask first which picture is meant."""
        result = await _choose_result(interaction, job, self)
        if result is not None:
            draft = dataclasses.replace(draft_of(job), strength=None, count=1)
            source = _result_as_source(interaction, job, result)
            await interaction.response.send_modal(
                RequestModal(draft, source, str(interaction.locale), submitted=_submit)
            )


class Compare(JobAction):
    """Show the source and the result side by side, to the user alone."""

    action = Action.COMPARE
    access = AccessRule.SOURCE

    async def run(self, interaction: Interaction, job: Job) -> None:
        """Show both, or ask first which picture is meant."""
        result = await _choose_result(interaction, job, self)
        if result is None:
            return
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

    async def run(self, interaction: Interaction, job: Job) -> None:
        """Post the enlarged picture, or ask first which picture is meant."""
        result = await _choose_result(interaction, job, self)
        if result is None:
            return
        ephemeral = job.destination.private or job.user_id != interaction.user.id
        await interaction.response.defer(thinking=True, ephemeral=ephemeral)
        picture = await _postable(interaction, result)
        factor = LARGER_FACTOR * shown_factor(picture.width, picture.height)
        large = await asyncio.to_thread(enlarged, picture, factor)
        text = translate(
            interaction.locale, "img2img.enlarged", width=large.width, height=large.height
        )
        await _show(interaction, large, f"redraw-{job.id}-large", text, spoiler=job.spoiler)


class Delete(JobAction):
    """Delete the messages that show the job, wherever the button was pressed, and erase the job.

    After the retention time, delete the message that the button belongs to.
    """

    action = Action.DELETE
    access = AccessRule.OWNER_OR_MODERATOR

    async def run(self, interaction: Interaction, job: Job) -> None:
        """Delete all messages of the job, then the stored job.

        Raises:
            NotDeleted: Discord does not let the bot delete a message; the job is erased.
        """
        await self.run_without_job(interaction)
        bot = interaction.client
        # In a server that has not added the bot, only the interaction can delete the message.
        pressed = interaction.message.id if interaction.message else None
        deleted = await delete_job_messages(bot, job, deleted_id=pressed)
        await bot.services.store.erase_job(job.id)
        if not deleted:
            raise NotDeleted

    async def run_without_job(self, interaction: Interaction) -> None:
        """Delete the message that the button belongs to."""
        await interaction.response.defer()
        with contextlib.suppress(discord.NotFound):
            await interaction.delete_original_response()


BUTTONS = (Cancel, Again, Vary, Strengths, Edit, Use, Compare, Depth, Larger, Delete)


async def _submit(interaction: Interaction, draft: Draft, source: StoredSource) -> None:
    async def find_source() -> StoredSource:
        await _stored(interaction.client.services, source.stored)
        return source

    await submit_request(interaction, draft, find_source)


async def _choose_result(interaction: Interaction, job: Job, button: JobAction) -> str | None:
    """The content hash of the result that is meant; None if the user has been asked which."""
    results = [variant.result for variant in job.variants if variant.result]
    if not results:
        raise JobNotFound
    if len(results) == 1:
        return results[0]
    if button.number != ASK:
        return results[button.number - 1]
    view = discord.ui.LayoutView(timeout=None)
    view.add_item(discord.ui.TextDisplay(translate(interaction.locale, "img2img.which")))
    numbers = range(1, len(results) + 1)
    for row in rows([JobButton(button.action, job, number) for number in numbers]):
        view.add_item(row)
    await interaction.response.send_message(view=view, ephemeral=True)
    return None


def _result_as_source(interaction: Interaction, job: Job, result: str) -> StoredSource:
    return dataclasses.replace(
        source_of(job, interaction),
        stored=result,
        name=translate(interaction.locale, "img2img.source.result", job=job.id),
        channel_id=job.destination.channel_id,
    )


async def _stored(services: Services, content: str) -> Picture:
    try:
        return await services.store.pictures.get(content)
    except StoredPictureMissing as error:
        raise JobNotFound from error


async def _postable(interaction: Interaction, content: str) -> Picture:
    """A stored picture that may be posted in this channel."""
    services = interaction.client.services
    picture = await _stored(services, content)
    await services.checks.check_post(picture, interaction.guild_id, interaction.channel_id or 0)
    return picture


async def _show(
    interaction: Interaction,
    picture: Picture,
    name: str,
    text: str = "",
    *,
    spoiler: bool = False,
) -> None:
    file = await asyncio.to_thread(encode, picture, limit_bytes=interaction.filesize_limit)
    upload = discord.File(io.BytesIO(file.data), f"{name}.{file.extension}", spoiler=spoiler)
    await interaction.edit_original_response(content=text, attachments=[upload])
