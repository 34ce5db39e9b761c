"""Payloads of Discord that discord.py cannot read: completes one kind, and skips other events."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps
from typing import Any

import discord

log = logging.getLogger(__name__)

# Without these the connection is of no use.
REQUIRED = frozenset(("READY", "RESUMED"))

Parser = Callable[[Any], None]


def skip_unreadable_events(client: discord.Client) -> None:
    """Log and skip an event that discord.py fails to parse, instead of ending the connection.

    discord.py raises the error of a parser out of `Client.connect`, so that one event would end
    the bot. That happens when Discord changes or omits a field.
    """
    parsers = client._connection.parsers
    for event, parser in parsers.items():
        if event not in REQUIRED:
            parsers[event] = _guarded(event, parser)


def _guarded(event: str, parser: Parser) -> Parser:
    @wraps(parser)
    def parse(data: Any) -> None:
        try:
            parser(data)
        except Exception:
            log.exception("the event %s cannot be read and is skipped", event)

    return parse


def read_snapshots_without_type() -> None:
    """Let discord.py read the snapshot of a forward that has no `type`.

    In the message that a reply refers to, Discord omits it, in events and in responses. Without it
    discord.py reads neither the reply nor a history that contains it.
    https://github.com/discord/discord-api-docs/issues/7814
    """
    read = discord.MessageSnapshot.__init__
    if hasattr(read, "__wrapped__"):
        return

    @wraps(read)
    def complete(snapshot: discord.MessageSnapshot, state: Any, data: Any) -> None:
        completed: Any = {"type": discord.MessageType.default.value, **data}
        read(snapshot, state, completed)

    discord.MessageSnapshot.__init__ = complete  # type: ignore[assignment,method-assign]
