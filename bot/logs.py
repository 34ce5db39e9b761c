"""Logging to the terminal, with secrets removed from the finished text."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable

# Interaction and webhook tokens are part of the URLs that discord.py logs at DEBUG level.
_TOKEN_IN_PATH = re.compile(r"((?:webhooks|interactions)/\d+/)[^/\s?'\"]+")
# A bot token: user id in base64, a time, a signature.
_BOT_TOKEN = re.compile(r"[\w-]{23,28}\.[\w-]{6,7}\.[\w-]{27,}")


class RedactingFormatter(logging.Formatter):
    """Replaces secrets in the finished text, including arguments and tracebacks."""

    def __init__(self, secrets: Iterable[str]) -> None:
        super().__init__("{asctime} {levelname:<7} {name}: {message}", "%H:%M:%S", style="{")
        self._secrets = tuple(secret for secret in secrets if secret)

    def format(self, record: logging.LogRecord) -> str:
        """The record as text without secrets."""
        text = super().format(record)
        for secret in self._secrets:
            text = text.replace(secret, "[secret]")
        text = _TOKEN_IN_PATH.sub(r"\1[secret]", text)
        return _BOT_TOKEN.sub("[secret]", text)


def set_up(level: str, secrets: Iterable[str]) -> None:
    """Log everything from `level` on to the terminal, redacted."""
    handler = logging.StreamHandler()
    handler.setFormatter(RedactingFormatter(secrets))
    logging.basicConfig(level=level, handlers=[handler], force=True)
