"""Whether a member may use a command, as the server's Integrations page sets it.

Discord applies these settings to slash commands itself. A mention is an ordinary message, so the
bot applies the settings of `/img2img` to it.
https://discord.com/developers/docs/interactions/application-commands#permissions
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import discord
from cachetools import TTLCache

from bot.client import RedrawBot

# How long a server's settings are reused.
CACHE_SECONDS = 60.0
CACHE_SERVERS = 1000
CHANNEL, USER, ROLE = (
    discord.AppCommandPermissionType.channel.value,
    discord.AppCommandPermissionType.user.value,
    discord.AppCommandPermissionType.role.value,
)


@dataclass(frozen=True, slots=True)
class Override:
    """One line of the Integrations page: a role, user or channel that is allowed or denied."""

    target_id: int
    kind: int
    allowed: bool


def is_allowed(
    command: Sequence[Override],
    application: Sequence[Override],
    *,
    guild_id: int,
    channel_id: int,
    user_id: int,
    role_ids: Sequence[int],
) -> bool:
    """Whether the overrides let the member use the command in the channel.

    Overrides of the command take precedence over those of the application. The id of all channels
    is `guild_id - 1`, that of @everyone is `guild_id`. For a thread, `channel_id` is its parent.
    """
    for overrides in (command, application):
        channel = _first(overrides, CHANNEL, (channel_id, guild_id - 1))
        if channel is not None:
            if not channel:
                return False
            break
    for overrides in (command, application):
        member = _member(overrides, guild_id=guild_id, user_id=user_id, role_ids=role_ids)
        if member is not None:
            return member
    return True


def _first(overrides: Sequence[Override], kind: int, target_ids: Sequence[int]) -> bool | None:
    """The override of the first of these targets that has one."""
    for target_id in target_ids:
        for override in overrides:
            if override.kind == kind and override.target_id == target_id:
                return override.allowed
    return None


def _member(
    overrides: Sequence[Override], *, guild_id: int, user_id: int, role_ids: Sequence[int]
) -> bool | None:
    user = _first(overrides, USER, (user_id,))
    if user is not None:
        return user
    roles = [
        override.allowed
        for override in overrides
        if override.kind == ROLE
        and override.target_id in role_ids
        and override.target_id != guild_id
    ]
    if roles:
        return any(roles)
    return _first(overrides, ROLE, (guild_id,))


class CommandPermissions:
    """Reads and applies the overrides of one command."""

    def __init__(self, bot: RedrawBot, command_name: str) -> None:
        self._bot = bot
        self._command_name = command_name
        self._command_id: int | None = None
        self._overrides: TTLCache[int, tuple[list[Override], list[Override]]] = TTLCache(
            CACHE_SERVERS, CACHE_SECONDS
        )

    async def may_use(self, message: discord.Message) -> bool:
        """Whether the message's author may use the command in the message's channel.

        Raises:
            discord.HTTPException: Discord does not give the settings.
        """
        member, channel = message.author, message.channel
        if not isinstance(member, discord.Member) or not isinstance(
            channel, discord.abc.GuildChannel | discord.Thread
        ):
            return True
        granted = channel.permissions_for(member)
        if granted.administrator:
            return True
        if not granted.use_application_commands:
            return False
        command, application = await self._fetch(member.guild.id)
        return is_allowed(
            command,
            application,
            guild_id=member.guild.id,
            channel_id=channel.parent_id if isinstance(channel, discord.Thread) else channel.id,
            user_id=member.id,
            role_ids=[role.id for role in member.roles],
        )

    async def _fetch(self, guild_id: int) -> tuple[list[Override], list[Override]]:
        if guild_id in self._overrides:
            return self._overrides[guild_id]
        application_id = self._bot.application_id
        assert application_id is not None
        if self._command_id is None:
            commands = await self._bot.tree.fetch_commands()
            self._command_id = next(
                command.id for command in commands if command.name == self._command_name
            )
        found = (
            await self._of(guild_id, application_id, self._command_id),
            # The application's own id stands for all of its commands.
            await self._of(guild_id, application_id, application_id),
        )
        self._overrides[guild_id] = found
        return found

    async def _of(self, guild_id: int, application_id: int, target_id: int) -> list[Override]:
        try:
            answer = await self._bot.http.get_application_command_permissions(
                application_id, guild_id, target_id
            )
        except discord.NotFound:
            # Discord's answer where nothing was set.
            return []
        return [
            Override(int(line["id"]), line["type"], line["permission"])
            for line in answer["permissions"]
        ]
