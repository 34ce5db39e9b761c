"""Showing one finished job again: `/show`, the *Show* button, and steps to related pictures."""

from __future__ import annotations

import re
from typing import Any, Self

import discord

from bot.errors import StoredPictureMissing
from bot.jobs.job import Job, JobState
from cogs.history._lineage import lineage_of, lineage_rows
from cogs.shared.access import AccessRule
from cogs.shared.channel_facts import check_access
from cogs.shared.errors import JobNotFound
from cogs.shared.guard import run_guarded
from cogs.shared.job_buttons import Action, Interaction, JobAction


class Show(JobAction):
    """Show the job's message again, to the user alone."""

    action = Action.SHOW
    access = AccessRule.RESULT

    async def run(self, interaction: Interaction, job: Job) -> None:
        """Show the job; see `show_job`."""
        await show_job(interaction, job)


class Back(
    discord.ui.DynamicItem[discord.ui.Button[discord.ui.LayoutView]],
    template=r"redraw:back:(?P<job>[0-9a-f]{16})",
):
    """*One step back*: shows the picture that the shown one was made from, in its place."""

    def __init__(self, item: discord.ui.Button[discord.ui.LayoutView], job_id: str) -> None:
        super().__init__(item)
        self._job_id = job_id

    @classmethod
    async def from_custom_id(
        cls,
        interaction: discord.Interaction[Any],
        item: discord.ui.Item[Any],
        match: re.Match[str],
        /,
    ) -> Self:
        """Called by discord.py for every click on a button with a matching custom id."""
        assert isinstance(item, discord.ui.Button)
        return cls(item, match["job"])

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        """Show the picture."""
        await run_guarded(interaction, lambda answer: _replace(answer, self._job_id))


class Related(
    discord.ui.DynamicItem[discord.ui.Select[discord.ui.LayoutView]], template="redraw:related"
):
    """The menu of related pictures: shows the chosen one in the place of the shown one."""

    @classmethod
    async def from_custom_id(
        cls,
        interaction: discord.Interaction[Any],
        item: discord.ui.Item[Any],
        match: re.Match[str],
        /,
    ) -> Self:
        """Called by discord.py for every choice in a menu with this custom id."""
        assert isinstance(item, discord.ui.Select)
        return cls(item)

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        """Show the picture."""
        await run_guarded(interaction, lambda answer: _replace(answer, self.item.values[0]))


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
