"""The buttons of a job's messages, which work for as long as the job is stored.

A button's custom id is `redraw:<action>:<job id>:<number>`; everything else is read from the
store. The two sides of a button are separate: `job_button` gives the component that a message
shows, and one `JobAction` subclass per action, registered by its cog's `setup()`, handles clicks
on it, also on messages that were sent before the bot started.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Any, ClassVar, Self

import discord

from bot.client import RedrawBot
from bot.command_tree import handle_error
from bot.i18n.translate import translate
from bot.jobs.job import Job
from cogs.shared.access import AccessRule, check_access
from cogs.shared.errors import JobNotFound

Interaction = discord.Interaction[RedrawBot]
Row = discord.ui.ActionRow[discord.ui.LayoutView]

# The number in a custom id that stands for "ask which picture, if there are several".
ASK = 0
# https://discord.com/developers/docs/components/reference#action-row
ROW_LIMIT = 5


class Action(StrEnum):
    """What a button does. The values stand in the custom ids of sent messages."""

    CANCEL = "cancel"
    AGAIN = "again"
    VARY = "vary"
    EDIT = "edit"
    USE = "use"
    STRENGTHS = "strengths"
    COMPARE = "compare"
    DEPTH = "depth"
    LARGER = "larger"
    SHOW = "show"
    SHARE = "share"
    DELETE = "delete"


STYLES = {
    Action.AGAIN: discord.ButtonStyle.primary,
    Action.DELETE: discord.ButtonStyle.danger,
}


class JobButton(discord.ui.Button[discord.ui.LayoutView]):
    """A button as a message shows it. `number` is the picture that it acts on, from 1, or `ASK`."""

    def __init__(self, action: Action, job: Job, number: int = ASK) -> None:
        label = translate(job.locale, f"img2img.button.{action}")
        super().__init__(
            label=f"{label} {number}" if number != ASK else label,
            style=STYLES.get(action, discord.ButtonStyle.secondary),
            custom_id=f"redraw:{action}:{job.id}:{number}",
        )

    def is_dispatchable(self) -> bool:
        """False: `JobAction` handles clicks, so discord.py need not keep the sent view."""
        return False


class JobAction(discord.ui.DynamicItem[discord.ui.Button[discord.ui.LayoutView]], template=""):
    """Handles the clicks on one kind of job button. Subclasses set `action` and `access`."""

    action: ClassVar[Action]
    access: ClassVar[AccessRule]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__(
            template=rf"redraw:{cls.action}:(?P<job>[0-9a-f]{{16}}):(?P<number>\d)"
        )

    def __init__(
        self, item: discord.ui.Button[discord.ui.LayoutView], job_id: str, number: int
    ) -> None:
        super().__init__(item)
        self.job_id = job_id
        self.number = number

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
        return cls(item, match["job"], int(match["number"]))

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        """Load the job, check the access rule, and run the action."""
        try:
            job = await interaction.client.services.store.job(self.job_id)
            if job is None:
                raise JobNotFound
            check_access(interaction, job, self.access)
            await self.run(interaction, job)
        except Exception as error:  # noqa: BLE001 - the one handler decides what the user reads
            await handle_error(interaction, error)

    async def run(self, interaction: Interaction, job: Job) -> None:
        """Do what the button says. The access rule has been checked."""
        raise NotImplementedError


def rows(buttons: Sequence[discord.ui.Button[discord.ui.LayoutView]]) -> Iterator[Row]:
    """The buttons in action rows of five."""
    for start in range(0, len(buttons), ROW_LIMIT):
        yield Row(*buttons[start : start + ROW_LIMIT])
