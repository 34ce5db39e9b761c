"""Many interactions are acknowledged in time, and the event loop stays free, while the worker is
busy."""

from __future__ import annotations

import pytest

from tests.benchmarks.interactions import measure
from tests.support.bots.full_bot_process import serve_benchmark_forked
from tests.support.processes.forks import FORKS


@pytest.mark.timeout(500)
@pytest.mark.parametrize(
    "interactions", [pytest.param(100, id="100"), pytest.param(10_000, marks=pytest.mark.slow)]
)
async def test_fifty_a_second_are_acknowledged_in_time(interactions: int) -> None:
    """Discord's limit. docs/benchmarks.md has what an idle machine needs."""
    figures = await measure(interactions, rate=50.0, context=FORKS, serve=serve_benchmark_forked)
    print(figures)
    assert figures["acknowledged"] == figures["interactions"] == interactions
    assert figures["acknowledged_max_ms"] < 3000
