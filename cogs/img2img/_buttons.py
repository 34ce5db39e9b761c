"""The buttons of a job's message: one class per button."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import ClassVar

import discord

from bot.i18n.translate import translate
from bot.jobs.job import Job
from bot.replies import reply_privately
from cogs.img2img._detail import DETAIL_MENUS
from cogs.img2img._forms import RequestModal
from cogs.img2img._selected import selected_result, selected_variant
from cogs.img2img._show_buttons import SHOW_BUTTONS
from cogs.img2img._submit import as_task, result_as_source, submit_draft
from cogs.requests.defaults import with_usable_model
from cogs.requests.draft import Draft, draft_of, source_of
from cogs.requests.pictures.stored_source import StoredSource
from cogs.requests.replacement import without_missing_settings
from cogs.requests.tasks import options_of_task, task_for_a_picture
from cogs.shared.access import AccessRule
from cogs.shared.errors import AlreadyFinished, NotDeleted
from cogs.shared.job_buttons import Action, Interaction, JobAction
from cogs.shared.job_messages import delete_job
from cogs.shared.selection import with_selection

# The strengths of "Vary": most of the picture stays, or its shapes and colours stay.
SUBTLE_STRENGTH, STRONG_STRENGTH = 0.35, 0.6

# How many styles the sheet of "Try styles" shows, in three columns.
SHEET_STYLES = 6


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
    """Submit the same request with a new seed.

    *Redraw this part*, the same button of a request that showed its part, uses the seed of that
    request, whether the user gave it or it was drawn at random.
    """

    action = Action.AGAIN
    access = AccessRule.SOURCE

    async def run(self, interaction: Interaction, job: Job) -> None:
        """Submit the request."""
        variant = selected_variant(job, self)
        draft = draft_of(interaction.client.services, job, variant)
        if job.layout == "part":
            # No picture has this seed yet. The user may have given it.
            draft = dataclasses.replace(draft, seed=variant.seed)
        await submit_draft(interaction, draft, source_of(job, interaction))


class Vary(JobAction):
    """Submit a request with low strength, with the result as its source."""

    action = Action.VARY
    access = AccessRule.RESULT
    strength: ClassVar[float] = SUBTLE_STRENGTH

    async def run(self, interaction: Interaction, job: Job) -> None:
        """Submit the request."""
        result = selected_result(job, self)
        draft = await as_task(interaction, job, "img2img", selected_variant(job, self))
        draft = dataclasses.replace(draft, strength=self.strength, count=1)
        source = result_as_source(interaction, job, result, draft.task)
        await submit_draft(interaction, draft, source)


class VaryStrong(Vary):
    """Submit a request with medium strength, with the result as its source."""

    action = Action.VARY_STRONG
    strength = STRONG_STRENGTH


class Strength(JobAction):
    """The menu: submit the same request and seed at the chosen strength."""

    action = Action.STRENGTH
    access = AccessRule.SOURCE

    async def run(self, interaction: Interaction, job: Job) -> None:
        """Submit the request."""
        variant = selected_variant(job, self)
        draft = dataclasses.replace(
            draft_of(interaction.client.services, job, variant),
            seed=variant.seed,
            strength=float(self.chosen[0]),
            count=1,
        )
        await submit_draft(interaction, draft, source_of(job, interaction))


class TryStyles(JobAction):
    """Submit the same request and seed in several styles, as one labelled picture."""

    action = Action.STYLES
    access = AccessRule.SOURCE

    async def run(self, interaction: Interaction, job: Job) -> None:
        """Submit the request."""
        services = interaction.client.services
        draft = dataclasses.replace(
            draft_of(services, job),
            layout="grid",
            styles=services.styles.names[:SHEET_STYLES],
            style=None,
            seed=selected_variant(job, self).seed,
            # Each style suggests one.
            strength=None,
        )
        await submit_draft(interaction, draft, source_of(job, interaction))


class Strengths(JobAction):
    """Submit the same request and seed at four strengths, as one labelled picture."""

    action = Action.STRENGTHS
    access = AccessRule.SOURCE

    async def run(self, interaction: Interaction, job: Job) -> None:
        """Submit the request."""
        draft = dataclasses.replace(
            await as_task(interaction, job, "img2img"),
            layout="grid",
            seed=selected_variant(job, self).seed,
            strength=None,
        )
        await submit_draft(interaction, draft, source_of(job, interaction))


class Edit(JobAction):
    """Open a form with the job's settings."""

    action = Action.EDIT
    access = AccessRule.SOURCE

    async def run(self, interaction: Interaction, job: Job) -> None:
        """Open the form. Submitting it submits a request with the same source."""
        variant = selected_variant(job, self)
        services = interaction.client.services
        draft = dataclasses.replace(draft_of(services, job, variant), seed=variant.seed, count=1)
        if "strength" in services.models.options_of(job):
            draft = dataclasses.replace(draft, strength=variant.strength)
        await _open_form(interaction, job, draft, source_of(job, interaction))


class Use(JobAction):
    """Open a form for a request whose source is the result."""

    action = Action.USE
    access = AccessRule.RESULT

    async def run(self, interaction: Interaction, job: Job) -> None:
        """Open the form."""
        result = selected_result(job, self)
        task = task_for_a_picture(interaction.client.services)
        draft = await as_task(interaction, job, task, selected_variant(job, self))
        draft = dataclasses.replace(draft, strength=None, count=1)
        source = result_as_source(interaction, job, result, task)
        await _open_form(interaction, job, draft, source)


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


class Discard(JobAction):
    """Delete the message with the button: an enlarged picture, a comparison, a depth map."""

    action = Action.DISCARD
    access = AccessRule.OWNER_OR_MODERATOR
    on_message_only = True

    async def run(self, interaction: Interaction, job: Job) -> None:
        """Delete the message. The job stays."""
        await self.run_without_job(interaction)

    async def run_without_job(self, interaction: Interaction) -> None:
        """Delete the message."""
        await interaction.response.defer()
        with contextlib.suppress(discord.NotFound):
            await interaction.delete_original_response()


BUTTONS = (
    *(Cancel, Again, Vary, VaryStrong, Strength, Strengths, TryStyles, Edit, Use, Select, Delete),
    Discard,
    *SHOW_BUTTONS,
    *DETAIL_MENUS,
)


async def _open_form(
    interaction: Interaction, job: Job, draft: Draft, source: StoredSource
) -> None:
    services, locale = interaction.client.services, str(interaction.locale)
    draft = await with_usable_model(services, interaction.user.id, draft)
    draft, source, note = without_missing_settings(services, draft, source, job, locale)

    async def submitted(answer: Interaction, draft: Draft) -> None:
        await submit_draft(answer, draft, source)

    options = options_of_task(services, draft.task, draft.model)
    models = services.models.with_task(draft.task)
    form = RequestModal(draft, locale, options, submitted=submitted, models=models, note=note)
    await interaction.response.send_modal(form)
