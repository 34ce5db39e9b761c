"""Showing one finished job again: `/show`, the *Show* button, and steps to related pictures."""

from __future__ import annotations

from bot.errors import StoredPictureMissing
from bot.jobs.job import Job, JobState
from cogs.history._lineage import lineage_of, lineage_rows
from cogs.shared.access import AccessRule
from cogs.shared.channel_facts import check_access
from cogs.shared.errors import JobNotFound
from cogs.shared.guard import PersistentItem
from cogs.shared.job_buttons import Action, Interaction, JobAction


class Show(JobAction):
    """Show the job's message again, to the user alone."""

    action = Action.SHOW
    access = AccessRule.RESULT

    async def run(self, interaction: Interaction, job: Job) -> None:
        """Show the job; see `show_job`."""
        await show_job(interaction, job)


class Back(PersistentItem, template=r"redraw:back:(?P<job>[0-9a-f]{16})"):
    """*One step back*: shows the picture that the shown one was made from, in its place."""

    async def act(self, interaction: Interaction) -> None:
        """Show the picture."""
        await _replace(interaction, self.match["job"])


class Related(PersistentItem, template="redraw:related"):
    """The menu of related pictures: shows the chosen one in the place of the shown one."""

    async def act(self, interaction: Interaction) -> None:
        """Show the picture."""
        await _replace(interaction, self.chosen[0])


async def _replace(interaction: Interaction, job_id: str) -> None:
    job = await interaction.client.services.store.job(job_id)
    if job is None:
        raise JobNotFound
    await check_access(interaction, job, AccessRule.RESULT)
    await show_job(interaction, job, replace=True)


async def show_job(interaction: Interaction, job: Job, *, replace: bool = False) -> None:
    """Reply with the message of a delivered job and its lineage, visible to the user alone.

    `replace` shows it in the message that was clicked.

    Raises:
        JobNotFound: the job is not delivered, or a picture of it is not stored any more.
    """
    if job.state is not JobState.DELIVERED:
        raise JobNotFound
    if replace:
        await interaction.response.defer()
    else:
        await interaction.response.defer(thinking=True, ephemeral=True)
    try:
        answer = await interaction.client.services.delivery.render(
            job, guild_id=interaction.guild_id, channel_id=interaction.channel_id or 0
        )
    except StoredPictureMissing as error:
        raise JobNotFound from error
    lineage = await lineage_of(interaction, job)
    for row in lineage_rows(lineage, str(interaction.locale)):
        answer.view.add_item(row)
    files = [upload.file() for upload in answer.files]
    await interaction.edit_original_response(view=answer.view, attachments=files)
