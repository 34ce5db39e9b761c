"""State of the fake Discord: messages, interactions, nonces, and what was shown when."""

from __future__ import annotations

import asyncio
import itertools
import secrets
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.support.fake_discord.validation import (
    IS_COMPONENTS_V2,
    Component,
    broken_rules,
    text_of,
    walk,
)

DISCORD_EPOCH_MS = 1420070400000
TOKEN_SECONDS = 15 * 60.0
# Edits that a message older than an hour takes before 30046; the true figure is not published.
OLD_SECONDS, OLD_EDITS = 3600.0, 3
EPHEMERAL, LOADING = 1 << 6, 1 << 7


class Refusal(Exception):
    """An error response of Discord's API."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


@dataclass
class Message:
    """One message. `shown` has every text that it has shown, with the time."""

    id: int
    channel_id: int
    author_id: int
    created_at: float
    flags: int = 0
    content: str = ""
    components: list[Component] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    deleted: bool = False
    old_edits: int = 0
    shown: list[tuple[float, str]] = field(default_factory=list)

    @property
    def ephemeral(self) -> bool:
        """Whether only the user of the interaction sees it."""
        return bool(self.flags & EPHEMERAL)

    @property
    def text(self) -> str:
        """The text that it shows now."""
        return self.content or text_of(self.components)


@dataclass
class Interaction:
    """One interaction of a user."""

    id: int
    token: str
    application_id: int
    channel_id: int
    user_id: int
    created_at: float
    acknowledged_after: float | None = None
    message_id: int | None = None


@dataclass
class DiscordState:
    """All state. The clock is `offset` seconds ahead; a nonce is valid for `nonce_seconds`."""

    nonce_seconds: float = 180.0
    offset: float = 0.0
    upload_limit: int = 10 * 2**20
    messages: dict[int, Message] = field(default_factory=dict)
    interactions: dict[str, Interaction] = field(default_factory=dict)
    # Channels in which the bot has no permissions, and users who accept no direct messages.
    closed_channels: set[int] = field(default_factory=set)
    closed_users: set[int] = field(default_factory=set)
    broken: list[str] = field(default_factory=list)
    edit_times: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    dm_channels: dict[int, int] = field(default_factory=dict)
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

    def interact(self, application_id: int, channel_id: int, user_id: int) -> Interaction:
        """Create an interaction."""
        interaction = Interaction(
            id=self.snowflake(),
            token=secrets.token_urlsafe(32),
            application_id=application_id,
            channel_id=channel_id,
            user_id=user_id,
            created_at=self.now(),
        )
        self.interactions[interaction.token] = interaction
        return interaction

    def acknowledge(self, token: str, *, flags: int) -> Message:
        """The deferred reply."""
        interaction = self.interactions.get(token)
        if interaction is None or self.now() - interaction.created_at > 3.0 + self.offset_slack():
            raise Refusal(404, 10062, "Unknown interaction")
        if interaction.message_id is not None:
            raise Refusal(400, 40060, "Interaction has already been acknowledged.")
        interaction.acknowledged_after = self.now() - interaction.created_at
        message = self._add(interaction.channel_id, interaction.application_id, flags | LOADING)
        interaction.message_id = message.id
        return message

    def offset_slack(self) -> float:
        """Seconds of tolerance for the three-second limit, because test runs share two cores."""
        return 30.0

    def edit_by_token(
        self, token: str, message_id: int, payload: dict[str, Any], files: dict[str, bytes]
    ) -> Message:
        """`PATCH /webhooks/{application}/{token}/messages/{message}`."""
        interaction = self.interactions.get(token)
        if interaction is None:
            raise Refusal(404, 10015, "Unknown Webhook")
        if self.now() - interaction.created_at > TOKEN_SECONDS:
            raise Refusal(401, 50027, "Invalid Webhook Token")
        if interaction.message_id != message_id:
            raise Refusal(404, 10008, "Unknown Message")
        return self._edit(self._existing(message_id), payload, files)

    def follow_up(self, token: str, payload: dict[str, Any], files: dict[str, bytes]) -> Message:
        """`POST /webhooks/{application}/{token}`."""
        interaction = self.interactions.get(token)
        if interaction is None:
            raise Refusal(404, 10015, "Unknown Webhook")
        self._check(payload, files, was_v2=False)
        return self._show(
            self._add(interaction.channel_id, interaction.application_id, 0), payload, files
        )

    def edit_by_bot(
        self,
        bot_id: int,
        channel_id: int,
        message_id: int,
        payload: dict[str, Any],
        files: dict[str, bytes],
    ) -> Message:
        """`PATCH /channels/{channel}/messages/{message}`."""
        message = self.message(bot_id, channel_id, message_id)
        if message.author_id != bot_id:
            raise Refusal(403, 50005, "Cannot edit a message authored by another user")
        if self.now() - message.created_at > OLD_SECONDS:
            if message.old_edits >= OLD_EDITS:
                raise Refusal(
                    429, 30046, "Maximum number of edits to messages older than 1 hour reached"
                )
            message.old_edits += 1
        return self._edit(message, payload, files)

    def post(
        self, bot_id: int, channel_id: int, payload: dict[str, Any], files: dict[str, bytes]
    ) -> Message:
        """`POST /channels/{channel}/messages`."""
        self._enter(channel_id)
        if channel_id in self.dm_channels and self.dm_channels[channel_id] in self.closed_users:
            raise Refusal(403, 50007, "Cannot send messages to this user")
        key = (bot_id, channel_id, str(payload.get("nonce")))
        if payload.get("nonce") and payload.get("enforce_nonce"):
            made_at, message_id = self._nonces.get(key, (0.0, 0))
            if self.now() - made_at < self.nonce_seconds:
                return self.messages[message_id]
        self._check(payload, files, was_v2=False)
        message = self._add(channel_id, bot_id, 0)
        self._nonces[key] = (self.now(), message.id)
        return self._show(message, payload, files)

    def message(self, bot_id: int, channel_id: int, message_id: int) -> Message:
        """`GET /channels/{channel}/messages/{message}`."""
        self._enter(channel_id)
        message = self._existing(message_id)
        if message.channel_id != channel_id or message.ephemeral:
            raise Refusal(404, 10008, "Unknown Message")
        return message

    def history(self, channel_id: int, after: int, limit: int) -> list[Message]:
        """`GET /channels/{channel}/messages`, newest first."""
        self._enter(channel_id)
        there = [
            message
            for message in self.messages.values()
            if message.channel_id == channel_id
            and message.id > after
            and not message.deleted
            and not message.ephemeral
        ]
        return sorted(sorted(there, key=lambda m: m.id)[:limit], key=lambda m: -m.id)

    def open_dm(self, user_id: int) -> int:
        """`POST /users/@me/channels`: always the same channel for the same user."""
        channel_id = user_id + 1
        self.dm_channels[channel_id] = user_id
        return channel_id

    def _enter(self, channel_id: int) -> None:
        if channel_id in self.closed_channels:
            raise Refusal(403, 50001, "Missing Access")

    def _existing(self, message_id: int) -> Message:
        message = self.messages.get(message_id)
        if message is None or message.deleted:
            raise Refusal(404, 10008, "Unknown Message")
        return message

    def _add(self, channel_id: int, author_id: int, flags: int) -> Message:
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
