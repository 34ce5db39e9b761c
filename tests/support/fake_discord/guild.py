"""Guilds of the fake Discord: roles, members, channels, threads, and the permissions they give.

The computation follows the published rules, not discord.py:
https://discord.com/developers/docs/topics/permissions
https://discord.com/developers/docs/topics/threads#permissions
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum, IntFlag
from typing import Any

from bot.permissions import PERMISSIONS


class Permission(IntFlag):
    """The permissions that the fake checks."""

    ADMINISTRATOR = 1 << 3
    VIEW_CHANNEL = 1 << 10
    SEND_MESSAGES = 1 << 11
    SEND_TTS_MESSAGES = 1 << 12
    MANAGE_MESSAGES = 1 << 13
    EMBED_LINKS = 1 << 14
    ATTACH_FILES = 1 << 15
    READ_MESSAGE_HISTORY = 1 << 16
    MENTION_EVERYONE = 1 << 17
    USE_APPLICATION_COMMANDS = 1 << 31
    MANAGE_THREADS = 1 << 34
    SEND_MESSAGES_IN_THREADS = 1 << 38
    USE_EXTERNAL_APPS = 1 << 50


ALL = (1 << 53) - 1
# What a new server gives to @everyone, of the permissions above.
DEFAULT = (
    Permission.VIEW_CHANNEL
    | Permission.SEND_MESSAGES
    | Permission.EMBED_LINKS
    | Permission.ATTACH_FILES
    | Permission.READ_MESSAGE_HISTORY
    | Permission.USE_APPLICATION_COMMANDS
    | Permission.SEND_MESSAGES_IN_THREADS
    | Permission.USE_EXTERNAL_APPS
)
# Without Send Messages these have no effect (implicit permissions).
NEEDS_SENDING = (
    Permission.MENTION_EVERYONE
    | Permission.SEND_TTS_MESSAGES
    | Permission.ATTACH_FILES
    | Permission.EMBED_LINKS
)


class ChannelType(IntEnum):
    """https://discord.com/developers/docs/resources/channel#channel-object-channel-types"""

    TEXT = 0
    DM = 1
    PUBLIC_THREAD = 11
    PRIVATE_THREAD = 12


@dataclass
class Overwrite:
    """What a channel allows and denies to one role or member."""

    id: int
    member: bool = False
    allow: int = 0
    deny: int = 0


@dataclass
class Role:
    """A role. `bot_id` marks the managed role that a bot gets with its invite."""

    id: int
    name: str
    permissions: int = 0
    bot_id: int | None = None


@dataclass
class Channel:
    """A channel or thread. `members` are the members of a thread."""

    id: int
    guild_id: int
    type: ChannelType = ChannelType.TEXT
    name: str = "pictures"
    nsfw: bool = False
    parent_id: int | None = None
    owner_id: int = 0
    overwrites: list[Overwrite] = field(default_factory=list)
    members: set[int] = field(default_factory=set)

    @property
    def is_thread(self) -> bool:
        """Whether the channel is a thread, so that its parent's permissions apply."""
        return self.type in (ChannelType.PUBLIC_THREAD, ChannelType.PRIVATE_THREAD)


@dataclass
class Guild:
    """A server. The role with the guild's id is @everyone."""

    id: int
    owner_id: int = 1
    name: str = "Test"
    roles: dict[int, Role] = field(default_factory=dict)
    member_roles: dict[int, set[int]] = field(default_factory=dict)
    channels: dict[int, Channel] = field(default_factory=dict)
    # The Integrations page: the id of a command or application → its overrides.
    command_permissions: dict[int, list[dict[str, Any]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.roles.setdefault(self.id, Role(self.id, "@everyone", int(DEFAULT)))

    def add_member(self, user_id: int, roles: Iterable[int] = ()) -> None:
        """Let a user join, or add roles to a member."""
        self.member_roles.setdefault(user_id, set()).update(roles)

    def add_bot(self, application_id: int, permissions: int = PERMISSIONS.value) -> Role:
        """Invite a bot: a member with a managed role that has the permissions of the link."""
        role = Role(application_id + 500, "Redraw", permissions, bot_id=application_id)
        self.roles[role.id] = role
        self.add_member(application_id, {role.id})
        return role

    def add_channel(self, channel: Channel) -> Channel:
        """Add a channel or thread."""
        self.channels[channel.id] = channel
        return channel

    def permissions(self, user_id: int, channel_id: int) -> int:
        """The permissions of a user in a channel; 0 if the user is no member."""
        if user_id not in self.member_roles:
            return 0
        if user_id == self.owner_id:
            return ALL
        base = self.roles[self.id].permissions
        for role_id in self.member_roles[user_id]:
            base |= self.roles[role_id].permissions
        if base & Permission.ADMINISTRATOR:
            return ALL
        channel = self.channels[channel_id]
        ruled_by = self.channels[channel.parent_id or 0] if channel.is_thread else channel
        return self._implicit(self._overwritten(base, ruled_by, user_id), channel, user_id)

    def _overwritten(self, base: int, channel: Channel, user_id: int) -> int:
        """Apply the overwrites: @everyone, then all roles together, then the member."""
        roles = self.member_roles[user_id]
        everyone = [o for o in channel.overwrites if not o.member and o.id == self.id]
        of_roles = [o for o in channel.overwrites if not o.member and o.id in roles]
        of_member = [o for o in channel.overwrites if o.member and o.id == user_id]
        for overwrites in (everyone, of_roles, of_member):
            for overwrite in overwrites:
                base &= ~overwrite.deny
            for overwrite in overwrites:
                base |= overwrite.allow
        return base

    def _implicit(self, permissions: int, channel: Channel, user_id: int) -> int:
        """Remove the permissions that have no effect without another one."""
        if not permissions & Permission.VIEW_CHANNEL:
            return 0
        if (
            channel.type is ChannelType.PRIVATE_THREAD
            and user_id not in channel.members
            and not permissions & Permission.MANAGE_THREADS
        ):
            return 0
        sending = (
            Permission.SEND_MESSAGES_IN_THREADS if channel.is_thread else Permission.SEND_MESSAGES
        )
        if not permissions & sending:
            permissions &= ~NEEDS_SENDING
        return int(permissions)

    def can(self, user_id: int, channel_id: int, *wanted: Permission) -> bool:
        """Whether a user has all of these permissions in a channel."""
        has = self.permissions(user_id, channel_id)
        return all(has & permission for permission in wanted)
