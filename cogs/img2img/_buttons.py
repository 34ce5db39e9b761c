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
from bot.jobs.job import Job, Variant
from bot.replies import reply_privately
from cogs.img2img._forms import RequestModal
from cogs.requests.request import Draft, draft_of, source_of, submit_request
from cogs.requests.sources import StoredSource
from cogs.shared.access import AccessRule
from cogs.shared.errors import AlreadyFinished, JobNotFound, NotDeleted
from cogs.shared.job_buttons import Action, Interaction, JobAction, JobButton
from cogs.shared.job_messages import delete_job
from cogs.shared.selection import with_selection

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
        """Submit the request."""
        result = _selected_result(job, self)
        draft = dataclasses.replace(draft_of(job), strength=VARY_STRENGTH, count=1)
        await _submit(interaction, draft, _result_as_source(interaction, job, result))


class Strengths(JobAction):
    """Submit the same request and seed at four strengths, as one labelled picture."""

    action = Action.STRENGTHS
    access = AccessRule.SOURCE

    async def run(self, interaction: Interaction, job: Job) -> None:
        """Submit the request."""
        draft = dataclasses.replace(
            draft_of(job), layout="grid", seed=_selected_variant(job, self).seed, strength=None
        )
        await _submit(interaction, draft, source_of(job, interaction))


class Edit(JobAction):
    """Open a form with the job's settings."""

    action = Action.EDIT
    access = AccessRule.SOURCE

    async def run(self, interaction: Interaction, job: Job) -> None:
        """Open the form. Submitting it submits a request with the same source."""
        variant = _selected_variant(job, self)
        draft = dataclasses.replace(
            draft_of(job), seed=variant.seed, strength=variant.strength, count=1
        )
        await _open_form(interaction, draft, source_of(job, interaction))


class Use(JobAction):
    """Open a form for a request whose source is the result."""

    action = Action.USE
    access = AccessRule.RESULT

    async def run(self, interaction: Interaction, job: Job) -> None:
        """Open the form."""
        result = _selected_result(job, self)
        draft = dataclasses.replace(draft_of(job), strength=None, count=1)
        await _open_form(interaction, draft, _result_as_source(interaction, job, result))


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
        result = _selected_result(job, self)
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
        result = _selected_result(job, self)
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


class Select(JobAction):
    """Select one of several pictures for the other buttons of the message."""

    action = Action.SELECT
    access = AccessRule.RESULT

    async def run(self, interaction: Interaction, job: Job) -> None:
        """Edit the message."""
        assert interaction.message is not None
        view = with_selection(interaction.message, self.number)
        await interaction.response.edit_message(view=view)


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
        # In a server that has not added the bot, only the interaction can delete the message.
        pressed = interaction.message.id if interaction.message else None
        if not await delete_job(interaction.client, job, deleted_id=pressed):
            raise NotDeleted

    async def run_without_job(self, interaction: Interaction) -> None:
        """Delete the message that the button belongs to."""
        await interaction.response.defer()
        with contextlib.suppress(discord.NotFound):
            await interaction.delete_original_response()


BUTTONS = (Cancel, Again, Vary, Strengths, Edit, Use, Compare, Depth, Larger, Select, Delete)


async def _open_form(interaction: Interaction, draft: Draft, source: StoredSource) -> None:
    async def submitted(answer: Interaction, draft: Draft) -> None:
        await _submit(answer, draft, source)

    form = RequestModal(draft, str(interaction.locale), submitted=submitted)
    await interaction.response.send_modal(form)


async def _submit(interaction: Interaction, draft: Draft, source: StoredSource) -> None:
    async def find_source() -> StoredSource:
        await _stored(interaction.client.services, source.stored)
        return source

    await submit_request(interaction, draft, find_source)


def _selected_result(job: Job, button: JobAction) -> str:
    """The content hash of the result that the button acts on."""
    result = _selected_variant(job, button).result
    if result is None:
        raise JobNotFound
    return result


def _selected_variant(job: Job, button: JobAction) -> Variant:
    if button.number > len(job.variants):
        raise JobNotFound
    return job.variants[button.number - 1]


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
    button: JobButton | None = None,
) -> None:
    file = await asyncio.to_thread(encode, picture, limit_bytes=interaction.filesize_limit)
    upload = discord.File(io.BytesIO(file.data), f"{name}.{file.extension}", spoiler=spoiler)
    view: discord.ui.View = discord.utils.MISSING
    if button is not None:
        view = discord.ui.View(timeout=None)
        view.add_item(button)
    await interaction.edit_original_response(content=text, attachments=[upload], view=view)
