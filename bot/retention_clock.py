"""The clock by which stored data expires; it allows for jumps of the system's clock."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

log = logging.getLogger(__name__)

# A larger difference between the clock and the time that has passed is a jump. Time services slew
# a clock by less than that between two erasures.
JUMP_SECONDS = 300.0


def seconds_since_boot() -> float:
    """Seconds that no change of the clock affects, with the time in which the machine slept."""
    # macOS has no CLOCK_BOOTTIME.
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class RetentionClock:
    """The moments before which stored data has expired. `clock` gives seconds since the epoch,
    `elapsed` seconds that no change of the clock affects.

    After a jump ahead, what was stored before it has times of the earlier clock, and what is stored
    after it does not expire within the retention time. Until that has passed, the jump is
    subtracted, so that everything is kept for the retention time.
    """

    def __init__(
        self, clock: Callable[[], float], elapsed: Callable[[], float] = seconds_since_boot
    ) -> None:
        self._clock = clock
        self._elapsed = elapsed
        self._last = clock(), elapsed()
        # When the clock jumped ahead, in elapsed seconds, and by how many seconds.
        self._jumps: list[tuple[float, float]] = []
        self._set_back = False

    def now(self) -> float:
        """Seconds since the epoch."""
        wall, elapsed = self._clock(), self._elapsed()
        jump = (wall - self._last[0]) - (elapsed - self._last[1])
        self._last = wall, elapsed
        if jump > JUMP_SECONDS:
            log.warning("the clock jumped ahead by %.0f minutes; stored data is kept", jump / 60)
            self._jumps.append((elapsed, jump))
        elif jump < -JUMP_SECONDS and self._jumps:
            log.warning("the clock was set back by %.0f minutes", -jump / 60)
            self._jumps.clear()
            self._set_back = True
        return wall

    def cutoff(self, retention_seconds: float) -> float:
        """What was stored before this moment has expired."""
        wall = self.now()
        elapsed = self._last[1]
        recent = (size for at, size in self._jumps if elapsed - at < retention_seconds)
        return wall - sum(recent) - retention_seconds

    def was_set_back(self) -> bool:
        """Whether a jump ahead was undone since the last call: what was stored in between has times
        in the future."""
        self.now()
        was, self._set_back = self._set_back, False
        return was
