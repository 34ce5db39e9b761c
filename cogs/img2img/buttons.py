"""Buttons that never die: the custom id carries the job, everything else is read from the store."""

from __future__ import annotations

import re
from typing import Any, Self

import discord

from bot.client import RedrawBot
from bot.errors import RequestError
from bot.jobs.job import Job
from bot.tree import answer_error, tell
from bot.words import say


class JobForgotten(RequestError):
    """The job's row was stripped or never existed."""

    text = "I no longer know this picture: it is older than I keep them."


class NotYours(RequestError):
    """Only the owner and moderators may."""

    text = "Only the person who asked for this picture, or a moderator, can do that."


class AlreadyFinished(RequestError):
    """Cancelled too late."""

    text = "This picture is already finished."


def may_manage(interaction: discord.Interaction[RedrawBot], job: Job) -> bool:
    """Whether the person owns the job, or may manage messages in the server where it was asked."""
    return interaction.user.id == job.user_id or (
        interaction.guild_id is not None
        and interaction.guild_id == job.destination.guild_id
        and interaction.permissions.manage_messages
    )


class CancelButton(
    discord.ui.DynamicItem[discord.ui.Button[discord.ui.LayoutView]],
    template=r"redraw:cancel:(?P<job>[0-9a-f]{16})",
):
    """Ends a job that waits or runs."""

    def __init__(self, job_id: str, locale: str = "en-US") -> None:
        self.job_id = job_id
        super().__init__(
            discord.ui.Button(
                label=say(locale, "img2img.button.cancel"),
                custom_id=f"redraw:cancel:{job_id}",
            )
        )

    @classmethod
    async def from_custom_id(
        cls,
        interaction: discord.Interaction[Any],
        item: discord.ui.Item[Any],
        match: re.Match[str],
        /,
    ) -> Self:
        """Made anew for every click, also after a restart."""
        return cls(match["job"])

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        """Cancel, if the person may."""
        try:
            services = interaction.client.services
            job = await services.store.job(self.job_id)
            if job is None:
                raise JobForgotten
            if not may_manage(interaction, job):
                raise NotYours
            if not await services.runner.cancel(job.id):
                raise AlreadyFinished
            await tell(interaction, say(interaction.locale, "img2img.cancel.done"))
        except Exception as error:  # noqa: BLE001 - the one handler decides what a person is told
            await answer_error(interaction, error)
