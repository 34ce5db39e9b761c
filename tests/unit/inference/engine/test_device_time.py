"""The device's time is divided among the requests of a call."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from inference.engine.device_time import DeviceMeter, Share


class ManualClock:
    """Moves when the test says so."""

    now = 0.0

    def mark(self) -> float:
        return self.now

    def seconds(self, begin: float, end: float) -> float:
        return end - begin

    def wait(self, mark: float) -> None:
        pass


@dataclass(eq=False)
class Request:
    rows: int
    shares: list[Share] = field(default_factory=list)


def test_requests_share_a_call_by_their_rows() -> None:
    clock = ManualClock()
    meter = DeviceMeter(clock)
    guided, plain = Request(rows=2), Request(rows=1)
    for requests, seconds in (([guided, plain], 3.0), ([plain], 0.5), ([guided, plain], 6.0)):
        begin = meter.begin()
        clock.now += seconds
        meter.end(begin, {request: request.rows for request in requests})
        # Time between two calls costs no request anything.
        clock.now += 100.0
    assert meter.seconds(guided) == pytest.approx(6.0)
    assert meter.seconds(plain) == pytest.approx(3.5)
