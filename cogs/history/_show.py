"""Showing one finished job again: the *Show* button and `/show`."""

from __future__ import annotations

from bot.errors import StoredPictureMissing
from bot.jobs.job import Job, JobState
from cogs.shared.access import AccessRule
from cogs.shared.errors import JobNotFound
from cogs.shared.job_buttons import Action, Interaction, JobAction


class Show(JobAction):
    """Show the job's message again, to the user alone."""

    action = Action.SHOW
    access = AccessRule.RESULT

    async def run(self, interaction: Interaction, job: Job) -> None:
        """Show the job; see `show_job`."""
        await show_job(interaction, job)


async def show_job(interaction: Interaction, job: Job) -> None:
    """Reply with the message of a delivered job, visible to the user alone.

    Raises:
        JobNotFound: the job is not delivered, or a picture of it is not stored any more.
    """
    if job.state is not JobState.DELIVERED:
        raise JobNotFound
    await interaction.response.defer(thinking=True, ephemeral=True)
    try:
        answer = await interaction.client.services.delivery.render(
            job, guild_id=interaction.guild_id, channel_id=interaction.channel_id or 0
        )
    except StoredPictureMissing as error:
        raise JobNotFound from error
    files = [upload.file() for upload in answer.files]
    await interaction.edit_original_response(view=answer.view, attachments=files)
