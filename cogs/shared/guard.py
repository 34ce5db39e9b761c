"""Guards of components and commands: where the bot may work, who may act, and replies to errors.

The two sides of a component that works for as long as its message exists are separate: a class with
`SentComponent` is what a message shows, and a `PersistentItem` handles its use.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, ClassVar, Self

import discord
from discord import app_commands

from bot.commands.allowed_places import check_place
from bot.commands.command_tree import handle_error
from bot.errors import UserError


async def run_guarded(
    interaction: discord.Interaction[Any],
    action: Callable[[discord.Interaction[Any]], Awaitable[None]],
    *,
    anywhere: bool = False,
) -> None:
    """Run the action of a button or menu; an error becomes a reply, as with commands.

    `anywhere`: also in a server or direct message where the operator does not let the bot work.
    """
    try:
        if not anywhere:
            check_place(interaction.client.services.settings, interaction.guild_id)
        await action(interaction)
    except Exception as error:  # noqa: BLE001 - the one handler decides what the user reads
        await handle_error(interaction, error)


class SentComponent:
    """Mixin of a button or menu as a message shows it; a `PersistentItem` handles its use."""

    def is_dispatchable(self) -> bool:
        """False: discord.py need not keep the sent view."""
        return False


class PersistentItem(discord.ui.DynamicItem[discord.ui.Item[discord.ui.LayoutView]], template=""):
    """Handles the use of a button or menu, also in messages of earlier runs of the bot.

    Subclasses name the `template` of their custom ids, a regular expression, and define `act`.
    """

    anywhere: ClassVar[bool] = False
    """Also where the operator does not let the bot work."""

    def __init__(
        self, item: discord.ui.Item[discord.ui.LayoutView], match: re.Match[str], /
    ) -> None:
        super().__init__(item)
        self.match = match

    @classmethod
    async def from_custom_id(
        cls,
        interaction: discord.Interaction[Any],
        item: discord.ui.Item[Any],
        match: re.Match[str],
        /,
    ) -> Self:
        """Called by discord.py for every use of a component with a matching custom id."""
        return cls(item, match)

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        """Act; an error becomes a reply."""
        await run_guarded(interaction, self.act, anywhere=self.anywhere)

    async def act(self, interaction: discord.Interaction[Any]) -> None:
        """Do what the component says."""
        raise NotImplementedError

    @property
    def chosen(self) -> Sequence[str]:
        """The values that were chosen in a menu of texts."""
        assert isinstance(self.item, discord.ui.Select)
        return self.item.values


class CheckedCommands:
    """Mixin of a cog or a group of commands: `check_access` decides who may use all of them."""

    async def check_access(self, interaction: discord.Interaction[Any]) -> None:
        """Check the user of a command.

        Raises:
            UserError: the user may not use it.
        """
        raise NotImplementedError

    async def interaction_check(self, interaction: discord.Interaction[Any], /) -> bool:
        """Called by discord.py before each command."""
        try:
            await self.check_access(interaction)
        except UserError as error:
            # Only errors of this kind reach the tree's handler from here.
            assert isinstance(interaction.command, app_commands.Command)
            raise app_commands.CommandInvokeError(interaction.command, error) from error
        return True
