"""Buttons that never die: the custom id carries what to do, the job, and which of its pictures;
everything else is read from the store."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Self

import discord

from bot.client import RedrawBot
from bot.command_tree import handle_error
from bot.errors import RequestError
from bot.i18n.translate import translate
from bot.jobs.job import Job

Interaction = discord.Interaction[RedrawBot]
Action = Callable[[Interaction, Job, int], Awaitable[None]]
Row = discord.ui.ActionRow[discord.ui.LayoutView]

# The number that stands for "ask which picture, if there are several".
ASK = 0
ROW_LIMIT = 5
# In the order in which a finished picture shows them.
FINISHED = ("again", "vary", "edit", "use", "strengths", "compare", "depth", "larger", "delete")
STYLES = {
    "again": discord.ButtonStyle.primary,
    "delete": discord.ButtonStyle.danger,
}


class JobNotFound(RequestError):
    """The job was forgotten, or never existed."""

    text = "I no longer know this picture: it is older than I keep them."


class NotOwner(RequestError):
    """Only the owner and moderators may."""

    text = "Only the person who asked for this picture, or a moderator, can do that."


class AlreadyFinished(RequestError):
    """Cancelled too late."""

    text = "This picture is already finished."


def may_manage(interaction: Interaction, job: Job) -> bool:
    """Whether the person owns the job, or may manage messages in the server where it was asked."""
    return interaction.user.id == job.user_id or (
        interaction.guild_id is not None
        and interaction.guild_id == job.destination.guild_id
        and interaction.permissions.manage_messages
    )


def check_owner(interaction: Interaction, job: Job) -> None:
    """Let only the owner and moderators go on.

    Raises:
        NotYours: anybody else.
    """
    if not may_manage(interaction, job):
        raise NotOwner


class JobButton(
    discord.ui.DynamicItem[discord.ui.Button[discord.ui.LayoutView]],
    template=r"redraw:(?P<action>[a-z]+):(?P<job>[0-9a-f]{16}):(?P<number>\d)",
):
    """One button of a job's message. `number` is the picture that is meant, from 1, or `ASK`."""

    actions: dict[str, Action] = {}  # noqa: RUF012 - filled once, by `action`

    def __init__(
        self, action: str, job_id: str, number: int = ASK, *, label: str | None = None
    ) -> None:
        self.action = action
        self.job_id = job_id
        self.number = number
        super().__init__(
            discord.ui.Button(
                label=label or action,
                style=STYLES.get(action, discord.ButtonStyle.secondary),
                custom_id=f"redraw:{action}:{job_id}:{number}",
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
        return cls(match["action"], match["job"], int(match["number"]))

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        """Look the job up and do what the button says."""
        try:
            job = await interaction.client.services.store.job(self.job_id)
            if job is None:
                raise JobNotFound
            await self.actions[self.action](interaction, job, self.number)
        except Exception as error:  # noqa: BLE001 - the one handler decides what a person is told
            await handle_error(interaction, error)


def action(name: str) -> Callable[[Action], Action]:
    """Make the function what the button of that name does."""

    def register(function: Action) -> Action:
        JobButton.actions[name] = function
        return function

    return register


def button(name: str, job: Job, number: int = ASK) -> JobButton:
    """The button of that name, in the language of the job."""
    label = translate(job.locale, f"img2img.button.{name}")
    return JobButton(name, job.id, number, label=label)


def rows(buttons: list[JobButton]) -> Iterator[Row]:
    """As many rows as the buttons need, five in each."""
    for start in range(0, len(buttons), ROW_LIMIT):
        row = Row()
        for one in buttons[start : start + ROW_LIMIT]:
            row.add_item(one)
        yield row
