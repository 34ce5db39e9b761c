"""Log lines of the worker arrive in the parent's log as they were written."""

from __future__ import annotations

import logging
import pickle
import threading

import pytest

from inference.engine.failures import failure_of
from inference.worker.logs import LogLine, LogSender, write
from tests.support.requests import request


def sent(log: logging.Logger) -> list[LogLine]:
    """The lines that `log` sends from now on, each through a pickle, as through the pipe."""
    lines: list[LogLine] = []
    log.addHandler(LogSender(lambda line: lines.append(pickle.loads(pickle.dumps(line)))))
    return lines


def test_a_line_keeps_its_logger_level_time_request_and_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log = logging.Logger("inference.somewhere")
    lines = sent(log)
    try:
        raise ValueError("a reason")
    except ValueError:
        # A lock cannot be pickled.
        log.exception("with %s", threading.Lock(), extra={"request": "job-0-1"})
    [line] = lines
    write(line)
    [record] = caplog.records
    assert (record.name, record.levelno) == ("inference.somewhere", logging.ERROR)
    assert record.created == line.created
    assert record.getMessage().startswith("with <unlocked _thread.lock")
    assert "ValueError: a reason" in (record.exc_text or "")
    assert record.__dict__["request"] == "job-0-1"


def test_an_unexpected_error_of_a_request_is_logged_with_its_id(
    caplog: pytest.LogCaptureFixture,
) -> None:
    failure_of(request("job-0-1"), ValueError("a bug"))
    [record] = caplog.records
    assert record.__dict__["request"] == "job-0-1"
    assert record.exc_info
