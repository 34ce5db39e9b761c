"""The guilds and direct messages of the fake Discord, and what a bot may do in a channel."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.support.fake_discord.guild import Channel, Guild, Overwrite, Permission
from tests.support.fake_discord.objects import Refusal

# The guild of channels and users that a test does not place in another one.
HOME_GUILD = 7


@dataclass
class GuildState:
    """Where channels and users are.

    `dm_channels` maps a channel to the user who talks to the bot. `private_channels` are direct
    messages and groups of users without the bot, in which user-installed apps can be used.
    """

    guilds: dict[int, Guild] = field(default_factory=lambda: {HOME_GUILD: Guild(HOME_GUILD)})
    # Applications with the message content intent turned on in the developer portal.
    content_intent: set[int] = field(default_factory=set)
    # Users who accept no direct messages.
    closed_users: set[int] = field(default_factory=set)
    dm_channels: dict[int, int] = field(default_factory=dict)
    private_channels: set[int] = field(default_factory=set)

    def guild_of(self, channel_id: int) -> Guild | None:
        """The guild that has the channel; None for direct messages and unknown channels."""
        return next((g for g in self.guilds.values() if channel_id in g.channels), None)

    @property
    def bots(self) -> set[int]:
        """The bots of all guilds."""
        roles = [role for guild in self.guilds.values() for role in guild.roles.values()]
        return {role.bot_id for role in roles if role.bot_id is not None}

    def enter(self, user_id: int, channel_id: int) -> None:
        """Place a channel and a user that no guild has in the home guild."""
        if channel_id in self.dm_channels or channel_id in self.private_channels:
            return
        guild = self.guild_of(channel_id)
        if guild is None:
            guild = self.guilds[HOME_GUILD]
            guild.add_channel(Channel(channel_id, guild.id))
        if guild.id == HOME_GUILD:
            guild.add_member(user_id)

    def close_channel(self, bot_id: int, channel_id: int) -> None:
        """Take View Channel from a bot."""
        self.enter(bot_id, channel_id)
        overwrite = Overwrite(bot_id, member=True, deny=Permission.VIEW_CHANNEL)
        self.guilds[HOME_GUILD].channels[channel_id].overwrites.append(overwrite)

    def require(self, bot_id: int, channel_id: int, *wanted: Permission) -> None:
        """Check a bot's permissions in a channel.

        Raises:
            Refusal: 10003 unknown channel, 50001 without View Channel, 50013 without another one.
        """
        if channel_id in self.dm_channels:
            return
        if channel_id in self.private_channels:
            raise Refusal(403, 50001, "Missing Access")
        guild = self.guild_of(channel_id)
        if guild is None:
            raise Refusal(404, 10003, "Unknown Channel")
        if not guild.can(bot_id, channel_id, Permission.VIEW_CHANNEL):
            raise Refusal(403, 50001, "Missing Access")
        if not guild.can(bot_id, channel_id, *wanted):
            raise Refusal(403, 50013, "Missing Permissions")

    def may_send(self, bot_id: int, channel_id: int, files: dict[str, bytes]) -> None:
        """Check the permissions for a new message.

        Raises:
            Refusal: see `require`.
        """
        guild = self.guild_of(channel_id)
        thread = guild is not None and guild.channels[channel_id].is_thread
        wanted = [
            Permission.SEND_MESSAGES_IN_THREADS if thread else Permission.SEND_MESSAGES,
            *([Permission.ATTACH_FILES] if files else []),
        ]
        self.require(bot_id, channel_id, *wanted)

    def open_dm(self, user_id: int) -> int:
        """`POST /users/@me/channels`: always the same channel for the same user."""
        channel_id = user_id + 1
        self.dm_channels[channel_id] = user_id
        return channel_id
