"""The two formats of a log line: time with zone, level, logger, job, message, traceback."""

from __future__ import annotations

import io
import json
import logging
from datetime import datetime
from typing import Any

import pytest

from bot.logs.formats import LogFormat, handler_for
from bot.logs.job_context import job_context

JOB = "0123456789abcdef"


def written(log_format: LogFormat, *values: object, **options: Any) -> str:
    """The text that a handler writes for one warning."""
    handler = handler_for(log_format, [])
    assert isinstance(handler, logging.StreamHandler)
    out = handler.stream = io.StringIO()
    logger = logging.Logger("bot.test")
    logger.addHandler(handler)
    logger.warning(*values, **options)
    return out.getvalue()


def test_a_text_line_has_time_level_logger_and_job() -> None:
    with job_context(JOB):
        time, rest = written("text", "%d pictures", 3).split(" ", 1)
    assert datetime.fromisoformat(time).utcoffset() is not None
    assert rest == f"WARNING  bot.test [{JOB}]: 3 pictures\n"
    assert written("text", "x").endswith(" WARNING  bot.test: x\n")


def test_a_json_line_has_the_same_fields_and_the_traceback() -> None:
    try:
        raise ValueError("first\nsecond")
    except ValueError:
        with job_context(JOB):
            text = written("json", '"quoted" ü', exc_info=True)
    assert text.count("\n") == 1
    line = json.loads(text)
    assert datetime.fromisoformat(line.pop("time")).utcoffset() is not None
    assert "ValueError: first\nsecond" in line.pop("traceback")
    assert line == {"level": "WARNING", "logger": "bot.test", "job": JOB, "message": '"quoted" ü'}


def test_json_leaves_out_what_libraries_attach_to_a_record() -> None:
    assert "prompt" not in written("json", "x", extra={"payload": {"prompt": "a fox"}})


def test_json_hides_a_token_that_is_quoted_within_the_message() -> None:
    text = written("json", '{"token": "an-interaction-token"}')
    assert json.loads(text)["message"] == '{"token": "[secret]"}'


@pytest.mark.parametrize(
    ("extra", "job"),
    [({"request": f"{JOB}-0-1"}, JOB), ({"job": "another"}, "another"), ({}, "the task's")],
)
def test_the_job_of_a_line_is_that_of_its_request_or_of_its_task(
    extra: dict[str, str], job: str
) -> None:
    with job_context("the task's"):
        assert json.loads(written("json", "x", extra=extra))["job"] == job
