"""The two formats of a log line, and the set-up of logging."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal

from pythonjsonlogger.json import JsonFormatter

from bot.logs.job_context import add_job
from bot.logs.redaction import Redactor, remove_payloads, shorten_network_errors

LogFormat = Literal["text", "json"]

# Names of a record's attributes → names in the JSON object. Other attributes are not written:
# libraries attach objects that may hold a user's data.
JSON_FIELDS = {
    "asctime": "time",
    "levelname": "level",
    "name": "logger",
    "job": "job",
    "request": "request",
    "message": "message",
    "exc_info": "traceback",
}


def _time(record: logging.LogRecord) -> str:
    """The local time in ISO 8601, with milliseconds and the offset from UTC."""
    return datetime.fromtimestamp(record.created).astimezone().isoformat(timespec="milliseconds")


class TextFormatter(logging.Formatter):
    """`TIME LEVEL LOGGER [JOB]: MESSAGE`, redacted; tracebacks follow in lines of their own."""

    def __init__(self, redactor: Redactor) -> None:
        super().__init__("{asctime} {levelname:<8} {name}{about}: {message}", style="{")
        self._redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        """The record as text without secrets."""
        job: str = getattr(record, "job", "")
        record.about = f" [{job}]" if job else ""
        return self._redactor.redact(super().format(record))

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802
        """See `_time`."""
        return _time(record)


class RedactingJsonFormatter(JsonFormatter):
    """One JSON object a line with the fields of `JSON_FIELDS`, redacted; empty ones are left out.

    Each value is redacted before it is encoded, because the patterns do not know JSON's escapes.
    """

    def __init__(self, redactor: Redactor) -> None:
        fields = [name for name in JSON_FIELDS if name != "exc_info"]
        super().__init__(fields, rename_fields=JSON_FIELDS, json_ensure_ascii=False)
        self._redactor = redactor

    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        """Keep the known fields, without secrets."""
        known = {name: log_data.get(name) for name in JSON_FIELDS.values()}
        return {name: self._redactor.redact(str(value)) for name, value in known.items() if value}

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802
        """See `_time`."""
        return _time(record)


def handler_for(log_format: LogFormat, secrets: Iterable[str]) -> logging.Handler:
    """A handler that writes redacted lines to the standard error output."""
    redactor = Redactor(secrets)
    handler = logging.StreamHandler()
    formatter = RedactingJsonFormatter if log_format == "json" else TextFormatter
    handler.setFormatter(formatter(redactor))
    handler.addFilter(add_job)
    handler.addFilter(remove_payloads)
    handler.addFilter(shorten_network_errors)
    return handler


def set_up(level: str, secrets: Iterable[str], log_format: LogFormat = "text") -> None:
    """Log everything from `level` on to the terminal, redacted."""
    logging.basicConfig(level=level, handlers=[handler_for(log_format, secrets)], force=True)
