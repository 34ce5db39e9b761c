"""Which job a log line is about."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

CURRENT_JOB: ContextVar[str] = ContextVar("CURRENT_JOB", default="")
"""The id of the job that the current task works on; empty if it works on none."""


@contextmanager
def job_context(job_id: str) -> Iterator[None]:
    """Log lines of the block, and of the tasks that start in it, have this job id."""
    token = CURRENT_JOB.set(job_id)
    try:
        yield
    finally:
        CURRENT_JOB.reset(token)


def add_job(record: logging.LogRecord) -> bool:
    """A filter: sets the record's `job` to the id of its job, or to an empty string.

    The model's processes know requests only: a request's id begins with the id of its job.
    """
    request: str = getattr(record, "request", "")
    record.job = getattr(record, "job", "") or request.partition("-")[0] or CURRENT_JOB.get()
    return True
