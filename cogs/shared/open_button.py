"""Buttons that open something for the user who presses them: a form, a panel or a list.

The two sides are separate, as with job buttons: `OpenButton` is what a message shows, and one
`OpenAction` subclass per target, registered by its cog's `setup()`, handles the clicks.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Any, ClassVar, Self

import discord

from bot.client import RedrawBot
from cogs.shared.guard import run_guarded

Interaction = discord.Interaction[RedrawBot]


class Target(StrEnum):
    """The targets. The values are in the custom ids of sent messages."""

    SAMPLE = "sample"
    """The form of a request for a sample picture."""
    UPLOAD = "upload"
    """The form of a request for a picture that the user uploads."""
    DEFAULTS = "defaults"
    HISTORY = "history"


class OpenButton(discord.ui.Button[discord.ui.LayoutView]):
    """A button as a message shows it."""

    def __init__(self, target: Target, label: str, style: discord.ButtonStyle) -> None:
        super().__init__(label=label, style=style, custom_id=f"redraw:open:{target}")

    def is_dispatchable(self) -> bool:
        """False: `OpenAction` handles clicks, so discord.py need not keep the sent view."""
        return False


class OpenAction(discord.ui.DynamicItem[discord.ui.Button[discord.ui.LayoutView]], template=""):
    """Handles the clicks on the buttons of one target. Subclasses set `target`."""

    target: ClassVar[Target]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__(template=f"redraw:open:{cls.target}")

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
        return cls(item)

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        """Open it."""
        await run_guarded(interaction, self.run)

    async def run(self, interaction: Interaction) -> None:
        """Open the button's target."""
        raise NotImplementedError
