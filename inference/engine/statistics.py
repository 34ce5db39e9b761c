"""Counts the denoiser's calls and their rows, and reports the counts at intervals."""

from __future__ import annotations

import time
from collections.abc import Callable

from inference.worker.messages import Event, Statistics

STATISTICS_SECONDS = 1.0
"""Minimum time between two reports while requests run."""


class CallStatistics:
    """The counts since the start; `report` is called in the engine's thread."""

    def __init__(self, report: Callable[[Event], None]) -> None:
        self._report = report
        self._current = self._reported = Statistics()
        self._reported_at = 0.0

    def count(self, rows: int) -> None:
        """A call with so many rows has succeeded."""
        self._current = Statistics(
            denoiser_calls=self._current.denoiser_calls + 1,
            denoiser_rows=self._current.denoiser_rows + rows,
        )

    def report(self, *, idle: bool) -> None:
        """Report changed counts if the interval has passed, or at once if the engine is idle."""
        now = time.monotonic()
        due = idle or now - self._reported_at >= STATISTICS_SECONDS
        if due and self._current != self._reported:
            self._reported_at = now
            self._reported = self._current
            self._report(self._current)
