"""Buttons that open something for the user who presses them: a form, a panel or a list.

The two sides are separate, as with job buttons: `OpenButton` is what a message shows, and one
`OpenAction` subclass per target, registered by its cog's `setup()`, handles the clicks.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

import discord

from bot.client import RedrawBot
from cogs.shared.guard import PersistentItem, SentComponent

Interaction = discord.Interaction[RedrawBot]


class Target(StrEnum):
    """The targets. The values are in the custom ids of sent messages."""

    SAMPLE = "sample"
    """The form of a request for a sample picture."""
    UPLOAD = "upload"
    """The form of a request for a picture that the user uploads."""
    DEFAULTS = "defaults"
    HISTORY = "history"


class OpenButton(SentComponent, discord.ui.Button[discord.ui.LayoutView]):
    """A button as a message shows it."""

    def __init__(self, target: Target, label: str, style: discord.ButtonStyle) -> None:
        super().__init__(label=label, style=style, custom_id=f"redraw:open:{target}")


class OpenAction(PersistentItem, template=""):
    """Handles the clicks on the buttons of one target. Subclasses set `target`."""

    target: ClassVar[Target]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__(template=f"redraw:open:{cls.target}")

    async def act(self, interaction: Interaction) -> None:
        """Open the button's target."""
        raise NotImplementedError
