"""State of the fake Discord: messages, interactions and nonces, and the rules for them."""

from __future__ import annotations

import asyncio
import itertools
import secrets
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.support.fake_discord.guild import Permission
from tests.support.fake_discord.guild_state import HOME_GUILD, GuildState
from tests.support.fake_discord.objects import (
    EPHEMERAL,
    LOADING,
    Callback,
    Interaction,
    Message,
    Refusal,
)
from tests.support.fake_discord.validation import IS_COMPONENTS_V2, broken_rules, walk

DISCORD_EPOCH_MS = 1420070400000
TOKEN_SECONDS = 15 * 60.0
# Tolerance for the limit of three seconds, because test runs share two cores.
SLOW_MACHINE_SECONDS = 30.0
# Edits that a message older than an hour takes before 30046; the true figure is not published.
OLD_SECONDS, OLD_EDITS = 3600.0, 3


@dataclass
class DiscordState(GuildState):
    """All state. The clock is `offset` seconds ahead; a nonce is valid for `nonce_seconds`."""

    nonce_seconds: float = 180.0
    offset: float = 0.0
    upload_limit: int = 10 * 2**20
    messages: dict[int, Message] = field(default_factory=dict)
    interactions: dict[str, Interaction] = field(default_factory=dict)
    # Where attachments are downloaded from; set by the server.
    cdn: str = "https://cdn.invalid"
    broken: list[str] = field(default_factory=list)
    edit_times: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    on_show: Callable[[Message], None] = lambda _: None
    _nonces: dict[tuple[int, int, str], tuple[float, int]] = field(default_factory=dict)
    _counter: itertools.count[int] = field(default_factory=itertools.count)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def now(self) -> float:
        """Seconds since the epoch on the fake clock."""
        return time.time() + self.offset

    def snowflake(self) -> int:
        """A new id with its creation time: https://discord.com/developers/docs/reference#snowflakes"""
        return (int(self.now() * 1000) - DISCORD_EPOCH_MS) << 22 | next(self._counter) & 0x3FFFFF

    def interact(
        self, application_id: int, channel_id: int, user_id: int, message_id: int | None = None
    ) -> Interaction:
        """Create an interaction; `message_id` is the message of the pressed button."""
        self.enter(user_id, channel_id)
        home = self.guilds[HOME_GUILD]
        if channel_id in home.channels and application_id not in home.member_roles:
            home.add_bot(application_id)
        interaction = Interaction(
            id=self.snowflake(),
            token=secrets.token_urlsafe(32),
            application_id=application_id,
            channel_id=channel_id,
            user_id=user_id,
            created_at=self.now(),
            component_message_id=message_id,
        )
        self.interactions[interaction.token] = interaction
        return interaction

    def acknowledge(self, token: str, kind: int, data: dict[str, Any]) -> Message | None:
        """The first response to an interaction; returns the message that it refers to.

        Raises:
            Refusal: too late, acknowledged already, or a kind that this fake does not know.
        """
        interaction = self.interactions.get(token)
        if interaction is None or self.now() - interaction.created_at > 3.0 + SLOW_MACHINE_SECONDS:
            raise Refusal(404, 10062, "Unknown interaction")
        if interaction.acknowledged_after is not None:
            raise Refusal(400, 40060, "Interaction has already been acknowledged.")
        interaction.acknowledged_after = self.now() - interaction.created_at
        self.changed.set()
        match kind:
            case Callback.MESSAGE | Callback.DEFERRED_MESSAGE:
                return self._first_reply(interaction, kind, data)
            case Callback.DEFERRED_UPDATE | Callback.UPDATE:
                assert interaction.component_message_id is not None
                interaction.message_id = interaction.component_message_id
                message = self._existing(interaction.message_id)
                return self._edit(message, data, {}) if kind == Callback.UPDATE else message
            case Callback.MODAL:
                interaction.modal = data
                return None
        raise Refusal(400, 50035, f"Invalid Form Body: callback type {kind}")

    def defer(self, token: str, flags: int = 0) -> Message:
        """A deferred reply."""
        message = self.acknowledge(token, Callback.DEFERRED_MESSAGE, {"flags": flags})
        assert message is not None
        return message

    def _first_reply(self, interaction: Interaction, kind: int, data: dict[str, Any]) -> Message:
        flags = data.get("flags", 0)
        guild = self.guild_of(interaction.channel_id)
        # A user-installed app cannot post publicly where its user lacks Use External Apps.
        # https://discord.com/developers/docs/resources/application#installation-context
        if (
            guild is not None
            and interaction.application_id not in guild.member_roles
            and not guild.can(
                interaction.user_id, interaction.channel_id, Permission.USE_EXTERNAL_APPS
            )
        ):
            flags |= EPHEMERAL
        message = self.add(interaction.channel_id, interaction.application_id, flags | LOADING)
        interaction.message_id, message.interaction = message.id, interaction
        if kind == Callback.MESSAGE:
            self._check(data, {}, was_v2=False)
            self._show(message, data, {})
        return message

    def edit_by_token(
        self, token: str, message_id: int, payload: dict[str, Any], files: dict[str, bytes]
    ) -> Message:
        """`PATCH /webhooks/{application}/{token}/messages/{message}`."""
        interaction = self.interactions.get(token)
        if interaction is None:
            raise Refusal(404, 10015, "Unknown Webhook")
        if self.now() - interaction.created_at > TOKEN_SECONDS:
            raise Refusal(401, 50027, "Invalid Webhook Token")
        if message_id not in {interaction.message_id, *interaction.follow_ups}:
            raise Refusal(404, 10008, "Unknown Message")
        return self._edit(self._existing(message_id), payload, files)

    def follow_up(self, token: str, payload: dict[str, Any], files: dict[str, bytes]) -> Message:
        """`POST /webhooks/{application}/{token}`.

        After a deferred reply it edits that reply, whose ephemeral flag stays:
        https://discord.com/developers/docs/interactions/receiving-and-responding
        """
        interaction = self.interactions.get(token)
        if interaction is None:
            raise Refusal(404, 10015, "Unknown Webhook")
        self._check(payload, files, was_v2=False)
        first = self.messages.get(interaction.message_id or 0)
        if first is not None and first.flags & LOADING and not first.deleted:
            kept = payload.get("flags", 0) & ~EPHEMERAL
            return self._show(first, payload | {"flags": kept}, files)
        flags = payload.get("flags", 0) & EPHEMERAL
        message = self.add(interaction.channel_id, interaction.application_id, flags)
        message.interaction = interaction
        interaction.follow_ups.append(message.id)
        return self._show(message, payload, files)

    def edit_by_bot(
        self,
        bot_id: int,
        channel_id: int,
        message_id: int,
        payload: dict[str, Any],
        files: dict[str, bytes],
    ) -> Message:
        """`PATCH /channels/{channel}/messages/{message}`."""
        self.require(bot_id, channel_id)
        message = self._visible(channel_id, message_id)
        if message.author_id != bot_id:
            raise Refusal(403, 50005, "Cannot edit a message authored by another user")
        if self.now() - message.created_at > OLD_SECONDS:
            if message.old_edits >= OLD_EDITS:
                raise Refusal(429, 30046, "Maximum number of edits to old messages reached")
            message.old_edits += 1
        return self._edit(message, payload, files)

    def post(
        self, bot_id: int, channel_id: int, payload: dict[str, Any], files: dict[str, bytes]
    ) -> Message:
        """`POST /channels/{channel}/messages`."""
        self.may_send(bot_id, channel_id, files)
        if channel_id in self.dm_channels and self.dm_channels[channel_id] in self.closed_users:
            raise Refusal(403, 50007, "Cannot send messages to this user")
        key = (bot_id, channel_id, str(payload.get("nonce")))
        if payload.get("nonce") and payload.get("enforce_nonce"):
            made_at, message_id = self._nonces.get(key, (0.0, 0))
            if self.now() - made_at < self.nonce_seconds:
                return self.messages[message_id]
        self._check(payload, files, was_v2=False)
        message = self.add(channel_id, bot_id, 0)
        replied_to = int((payload.get("message_reference") or {}).get("message_id", 0))
        message.replied_to = replied_to if replied_to in self.messages else None
        message.allowed_mentions = payload.get("allowed_mentions", {})
        self._nonces[key] = (self.now(), message.id)
        return self._show(message, payload, files)

    def message(self, bot_id: int, channel_id: int, message_id: int) -> Message:
        """`GET /channels/{channel}/messages/{message}`."""
        self.require(bot_id, channel_id, Permission.READ_MESSAGE_HISTORY)
        return self._visible(channel_id, message_id)

    def history(
        self, bot_id: int, channel_id: int, *, before: int | None, after: int | None, limit: int
    ) -> list[Message]:
        """`GET /channels/{channel}/messages`, newest first.

        Without Read Message History it is empty:
        https://discord.com/developers/docs/resources/message#get-channel-messages
        """
        self.require(bot_id, channel_id)
        guild = self.guild_of(channel_id)
        if guild and not guild.can(bot_id, channel_id, Permission.READ_MESSAGE_HISTORY):
            return []
        found = [
            message
            for message in sorted(self.messages.values(), key=lambda message: message.id)
            if message.channel_id == channel_id
            and (after is None or message.id > after)
            and (before is None or message.id < before)
            and not message.deleted
            and not message.ephemeral
        ]
        return (found[-limit:] if after is None else found[:limit])[::-1]

    def delete(self, bot_id: int, channel_id: int, message_id: int) -> None:
        """`DELETE /channels/{channel}/messages/{message}`."""
        self.require(bot_id, channel_id)
        message = self._visible(channel_id, message_id)
        if message.author_id != bot_id:
            self.require(bot_id, channel_id, Permission.MANAGE_MESSAGES)
        message.deleted = True
        self.changed.set()

    def _visible(self, channel_id: int, message_id: int) -> Message:
        message = self._existing(message_id)
        if message.channel_id != channel_id or message.ephemeral:
            raise Refusal(404, 10008, "Unknown Message")
        return message

    def _existing(self, message_id: int) -> Message:
        message = self.messages.get(message_id)
        if message is None or message.deleted:
            raise Refusal(404, 10008, "Unknown Message")
        return message

    def add(self, channel_id: int, author_id: int, flags: int = 0) -> Message:
        """Add an empty message."""
        message = Message(self.snowflake(), channel_id, author_id, self.now(), flags)
        self.messages[message.id] = message
        return message

    def _check(self, payload: dict[str, Any], files: dict[str, bytes], *, was_v2: bool) -> None:
        broken = broken_rules(payload, files, was_v2=was_v2, upload_limit=self.upload_limit)
        if broken:
            self.broken += broken
            raise Refusal(400, 50035, "Invalid Form Body: " + "; ".join(broken))

    def _edit(self, message: Message, payload: dict[str, Any], files: dict[str, bytes]) -> Message:
        self._check(payload, files, was_v2=bool(message.flags & IS_COMPONENTS_V2))
        self.edit_times[message.channel_id].append(time.monotonic())
        return self._show(message, payload, files)

    def _show(self, message: Message, payload: dict[str, Any], files: dict[str, bytes]) -> Message:
        message.flags = (message.flags | payload.get("flags", 0)) & ~LOADING
        message.content = payload.get("content") or ""
        message.components = payload.get("components", message.components)
        taken = {c["id"] for c in walk(message.components) if c.get("id")}
        free = (n for n in itertools.count(1) if n not in taken)
        for component in walk(message.components):
            component["id"] = component.get("id") or next(free)
        if "attachments" in payload:
            message.files = files
        message.shown.append((self.now(), message.text))
        self.on_show(message)
        self.changed.set()
        return message
