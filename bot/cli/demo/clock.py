"""The simulation's clock, set to real time."""

from __future__ import annotations

from datetime import UTC, datetime

# Bound at import: later the simulation replaces `time.monotonic` for the bot's tasks.
from time import monotonic


class RealClock:
    """Replaces simcord's clock, which moves only when a test moves it.

    `elapsed` is the event loop's own clock, so that the bot's tasks, which read the simulated
    monotonic clock, and the runner's tasks, which read the real one, agree.
    """

    @property
    def elapsed(self) -> float:
        """Seconds on the real monotonic clock."""
        return monotonic()

    def now(self) -> datetime:
        """The current time in UTC."""
        return datetime.now(UTC)

    def advance(self, seconds: float) -> None:
        """Do nothing: real time cannot be advanced."""
