"""What the fake Discord keeps: messages, interactions, and errors."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from tests.support.fake_discord.validation import Component, text_of, walk

EPHEMERAL, LOADING, HAS_SNAPSHOT = 1 << 6, 1 << 7, 1 << 14
# https://discord.com/developers/docs/resources/message#message-object-message-types
DEFAULT, REPLY = 0, 19


class Callback(IntEnum):
    """https://discord.com/developers/docs/interactions/receiving-and-responding"""

    MESSAGE = 4
    DEFERRED_MESSAGE = 5
    DEFERRED_UPDATE = 6
    UPDATE = 7
    MODAL = 9


class Refusal(Exception):
    """An error response of Discord's API. `retry_after`: the header of that name, in seconds."""

    def __init__(
        self, status: int, code: int, message: str, *, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.headers = {} if retry_after is None else {"Retry-After": f"{retry_after:g}"}
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
    # Attachments without a content type, as some clients send them.
    untyped: set[str] = field(default_factory=set)
    type: int = DEFAULT
    mentions: list[int] = field(default_factory=list)
    mention_roles: list[int] = field(default_factory=list)
    replied_to: int | None = None
    # What a message of a bot may mention, as it was sent.
    allowed_mentions: dict[str, Any] = field(default_factory=dict)
    # Recorded parts: forwards, stickers, link previews.
    snapshots: list[dict[str, Any]] = field(default_factory=list)
    stickers: list[dict[str, Any]] = field(default_factory=list)
    embeds: list[dict[str, Any]] = field(default_factory=list)
    # The interaction that it responds to.
    interaction: Interaction | None = None
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

    @property
    def custom_ids(self) -> list[str]:
        """The custom ids of its buttons."""
        return [str(c["custom_id"]) for c in walk(self.components) if "custom_id" in c]


@dataclass
class Interaction:
    """One interaction of a user."""

    id: int
    token: str
    application_id: int
    channel_id: int
    user_id: int
    created_at: float
    # The message of the pressed button.
    component_message_id: int | None = None
    acknowledged_after: float | None = None
    message_id: int | None = None
    follow_ups: list[int] = field(default_factory=list)
    # The form that the bot opened.
    modal: dict[str, Any] | None = None
