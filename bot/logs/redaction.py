"""Removes secrets and users' data from log records and from their text."""

from __future__ import annotations

import logging
import re
from collections import deque
from collections.abc import Iterable

import aiohttp
import discord

HIDDEN = "[secret]"
# Tokens that were seen next to a name in a payload are removed wherever else they appear. An
# interaction token is valid for 15 minutes; so many interactions are far more than come in that
# time.
REMEMBERED_TOKENS = 10_000

# Interaction and webhook tokens in URLs, which errors of the HTTP client name.
_TOKEN_IN_PATH = re.compile(r"((?:webhooks|interactions)/\d+/)[^/\s?'\"]+")
# A token as a value in a payload, also in one that is a text in another payload, or in the
# representation of an object.
_TOKEN_IN_PAYLOAD = re.compile(
    r"""(?:\b|_)token\\*["']?\s*[:=]\s*b?\\*["']([^"'\\]{8,})""", re.IGNORECASE
)
# A bot token: user id in base64, a time, a signature.
_BOT_TOKEN = re.compile(r"[\w-]{23,28}\.[\w-]{6,7}\.[\w-]{27,}")
# An interaction token: "interaction:" and more in base64.
_INTERACTION_TOKEN = re.compile(r"aW50ZXJhY3Rpb246[\w=-]+")
# A token of the model hub.
_HUB_TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{16,}")
# The signature of an attachment's URL, which may be quoted in another URL or in JSON.
# https://discord.com/developers/docs/reference#signed-attachment-cdn-urls
_SIGNATURE = re.compile(r"(hm(?:=|%3D))[0-9a-f]{8,}", re.IGNORECASE)

# Errors of the connection to Discord, which discord.py repairs and logs with a traceback.
NETWORK_ERRORS = (
    OSError,
    aiohttp.ClientError,
    discord.ConnectionClosed,
    discord.GatewayNotFound,
    discord.HTTPException,
)


class Redactor:
    """Removes these secrets, and whatever has the form of a Discord secret, from texts."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._secrets = tuple(secret for secret in secrets if secret)
        self._seen: deque[str] = deque(maxlen=REMEMBERED_TOKENS)

    def redact(self, text: str) -> str:
        """The text without secrets."""
        for token in _TOKEN_IN_PAYLOAD.findall(text):
            if token != HIDDEN and token not in self._seen:
                self._seen.append(token)
        for secret in (*self._secrets, *self._seen):
            text = text.replace(secret, HIDDEN)
        text = _TOKEN_IN_PATH.sub(rf"\1{HIDDEN}", text)
        text = _SIGNATURE.sub(rf"\1{HIDDEN}", text)
        text = _BOT_TOKEN.sub(HIDDEN, text)
        text = _HUB_TOKEN.sub(HIDDEN, text)
        return _INTERACTION_TOKEN.sub(HIDDEN, text)


def remove_payloads(record: logging.LogRecord) -> bool:
    """A filter: discord.py's DEBUG records keep the event or URL and lose the payload, which holds
    tokens, prompts and messages of users."""
    if record.levelno > logging.DEBUG or not isinstance(record.args, tuple):
        return True
    match record.name, record.msg:
        case "discord.gateway", "For Shard ID %s: WebSocket Event: %s":
            shard, event = record.args
            name = (event.get("t") or event.get("op")) if isinstance(event, dict) else "event"
            record.args = (shard, name)
        case "discord.http", "%s %s with %s has returned %s":
            method, url, _, status = record.args
            record.args = (method, url, "a payload", status)
        case "discord.http", "%s %s has received %s":
            record.args = (*record.args[:2], "a response")
    return True


def shorten_network_errors(record: logging.LogRecord) -> bool:
    """A filter: a network error of discord.py's loggers is named, without a traceback."""
    if record.name.startswith("discord.") and record.exc_info:
        error = record.exc_info[1]
        if isinstance(error, NETWORK_ERRORS):
            record.msg = f"{record.getMessage()} ({type(error).__name__}: {error})"
            record.args = ()
            record.exc_info = record.exc_text = None
    return True
