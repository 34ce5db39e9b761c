"""Pauses between attempts that double up to a limit."""

from __future__ import annotations


class Backoff:
    """`next()` gives the pause before the next attempt, in seconds."""

    def __init__(self, first: float, longest: float) -> None:
        self._first = first
        self._longest = longest
        self._pause = first

    def next(self) -> float:
        """The next pause: twice the last one, at most the longest."""
        pause = self._pause
        self._pause = min(2 * pause, self._longest)
        return pause

    def reset(self) -> None:
        """An attempt succeeded: begin again with the first pause."""
        self._pause = self._first
