"""The worker's log lines travel to its parent process, which writes them in its own format."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """A record of the logger `logger`. `created` is in seconds since the epoch; `request` is the id
    of the request that it is about, or empty."""

    logger: str
    level: int
    created: float
    message: str
    traceback: str | None = None
    request: str = ""


class LogSender(logging.Handler):
    """Passes each record to `send`. Code that logs about a request sets `extra={"request": id}`."""

    def __init__(self, send: Callable[[LogLine], None]) -> None:
        super().__init__()
        self._send = send
        self._formatter = logging.Formatter()

    def emit(self, record: logging.LogRecord) -> None:
        """Send the record as text: its arguments may not be picklable."""
        traceback = record.exc_info and self._formatter.formatException(record.exc_info)
        self._send(
            LogLine(
                logger=record.name,
                level=record.levelno,
                created=record.created,
                message=record.getMessage(),
                traceback=traceback or None,
                request=getattr(record, "request", ""),
            )
        )


def write(line: LogLine) -> None:
    """Log a line of the worker in this process."""
    record = logging.LogRecord(line.logger, line.level, "", 0, line.message, (), None)
    record.created = line.created
    record.exc_text = line.traceback
    if line.request:
        record.request = line.request
    logging.getLogger(line.logger).handle(record)
