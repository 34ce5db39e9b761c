"""Measures the device's time for each request, and bounds the work that a device has queued.

A request's time is its share, by rows, of the calls that it was part of.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch


class DeviceClock(Protocol):
    """Marks moments of the device's work."""

    def mark(self) -> Any:
        """The moment at which the device has done all work that was launched before."""
        ...

    def seconds(self, begin: Any, end: Any) -> float:
        """The time between two marks. Waits until the device has reached the second one."""
        ...

    def wait(self, mark: Any) -> None:
        """Wait until the device has reached the mark."""
        ...


class HostClock:
    """For devices on which a call returns when its work is done: the processor.

    Also used for MPS, where it misses the work that runs after a call has returned.
    """

    def mark(self) -> float:
        """See `DeviceClock`."""
        return time.perf_counter()

    def seconds(self, begin: float, end: float) -> float:
        """See `DeviceClock`."""
        return end - begin

    def wait(self, mark: float) -> None:
        """See `DeviceClock`. The work is done when its call returns."""


class CudaClock:
    """CUDA events: a launch returns before its work has begun.

    https://docs.pytorch.org/docs/stable/generated/torch.cuda.Event.html
    """

    def mark(self) -> torch.cuda.Event:
        """See `DeviceClock`."""
        # Blocking: a thread that waits uses no processor time.
        event = torch.cuda.Event(  # type: ignore[no-untyped-call]
            enable_timing=True, blocking=True
        )
        event.record()
        return event

    def seconds(self, begin: torch.cuda.Event, end: torch.cuda.Event) -> float:
        """See `DeviceClock`."""
        end.synchronize()
        return float(begin.elapsed_time(end)) / 1000

    def wait(self, mark: torch.cuda.Event) -> None:
        """See `DeviceClock`."""
        mark.synchronize()


class QueuedWork:
    """Bounds the work that a GPU has queued: its calls return before they are executed.

    While the device computes a turn of a loaded model, the host queues the next turn of this model
    and no more. Other loaded models have their own bound.

    Without it turns that only encode or decode tiles would queue those of a whole request at once:
    the steps of other requests would wait for them, and a cancelled request would be computed to
    its end.
    """

    def __init__(self, clock: DeviceClock) -> None:
        self._clock = clock
        self._turn_before: Any = None

    def limit(self) -> None:
        """Call this at the end of a turn: waits until the work of the turn before is done."""
        turn = self._clock.mark()
        if self._turn_before is not None:
            self._clock.wait(self._turn_before)
        self._turn_before = turn


@dataclass(frozen=True, slots=True)
class Share:
    """A request's fraction of the time between two marks."""

    begin: Any
    end: Any
    fraction: float


class Measured(Protocol):
    """A request whose device time is measured."""

    shares: list[Share]


class DeviceMeter:
    """Divides the time of each call among its requests, in proportion to their rows."""

    def __init__(self, clock: DeviceClock) -> None:
        self._clock = clock

    def begin(self) -> Any:
        """Before a call is launched."""
        return self._clock.mark()

    def end(self, begin: Any, rows: Mapping[Any, int]) -> None:
        """After the call was launched; `rows` holds each `Measured` request with its rows."""
        end = self._clock.mark()
        total = sum(rows.values())
        for request, number in rows.items():
            request.shares.append(Share(begin, end, number / total))

    def seconds(self, request: Measured) -> float:
        """The request's seconds of the device so far."""
        return sum(
            share.fraction * self._clock.seconds(share.begin, share.end) for share in request.shares
        )
