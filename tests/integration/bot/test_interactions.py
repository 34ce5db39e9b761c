"""Many interactions are acknowledged in time, and the event loop stays free, while the worker is
busy."""

from __future__ import annotations

import pytest

from tests.benchmarks.interactions import measure
from tests.support.bots.full_bot_process import serve_benchmark_forked
from tests.support.processes.forks import FORKS


@pytest.mark.timeout(500)
@pytest.mark.parametrize(
    ("interactions", "rate"),
    [
        # On a machine that serves fewer than arrive, each waits for longer than the one before.
        pytest.param(150, 25.0, id="150"),
        pytest.param(10_000, 50.0, id="10000", marks=pytest.mark.slow),
    ],
)
async def test_interactions_are_acknowledged_in_time(interactions: int, rate: float) -> None:
    """Discord's limit. docs/benchmarks.md has what an idle machine needs."""
    figures = await measure(interactions, rate=rate, context=FORKS, serve=serve_benchmark_forked)
    print(figures)
    assert figures["acknowledged"] == figures["interactions"] == interactions
    assert figures["acknowledged_max_ms"] < 3000
