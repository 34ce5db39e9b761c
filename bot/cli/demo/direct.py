"""A user in the direct messages with the bot, with the actions of a server's member."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import discord
import simcord
from simcord.actors import MemberActor
from simcord.builders import ChannelHandle, UserHandle

from bot.cli.demo.actions import ActionRefused, File


class DirectActor:
    """Has those methods of simcord's `MemberActor` that the page needs. Its channel is the only
    one of these direct messages."""

    def __init__(self, env: simcord.Env, user: UserHandle) -> None:
        self._env = env
        self._user = user

    async def send(
        self,
        channel: ChannelHandle,
        content: str = "",
        *,
        reply_to: discord.Message | None = None,
        attachments: Sequence[File] = (),
    ) -> discord.Message:
        """Write to the bot."""
        backend = self._env.backend
        reference = None
        if reply_to is not None:
            reference = backend.normalize_message_reference(
                channel.id, {"channel_id": str(channel.id), "message_id": str(reply_to.id)}
            )
        files = backend.store_attachments(channel.id, attachments)
        return await self._user.send_dm(content, attachments=files, reference=reference)

    async def delete(self, message: discord.Message) -> None:
        """Delete an own message."""
        await self._user.delete(message)

    async def react(self, message: discord.Message, emoji: str) -> None:
        """Add a reaction."""
        await self._user.set_reaction(message, emoji, reacted=True)

    async def slash(self, _channel: ChannelHandle, path: str, /, **options: Any) -> object:
        """Run a slash command."""
        return await self._user.slash(path, **options)

    async def autocomplete(
        self, _channel: ChannelHandle, path: str, option: str, typed: str, /
    ) -> object:
        """Ask for choices."""
        return await self._user.autocomplete(path, option, typed)

    async def context_menu(self, _channel: ChannelHandle, name: str, _target: object) -> object:
        """Refuse it: simcord has the menu of a message only in servers."""
        raise ActionRefused("demo.refused_menu", name=name)

    async def click(self, message: discord.Message, *, custom_id: str) -> object:
        """Press a button."""
        return await self._user.click(message, custom_id=custom_id)

    async def select(
        self, message: discord.Message, values: Sequence[Any], *, custom_id: str
    ) -> object:
        """Choose from a menu."""
        return await self._user.select(message, values, custom_id=custom_id)

    async def submit_modal(
        self, shown: simcord.InteractionResult, values: dict[str, Any]
    ) -> object:
        """Submit a form."""
        return await self._user.submit_modal(shown, values)


Actor = MemberActor | DirectActor
