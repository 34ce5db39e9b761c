"""How many replicas a fleet starts with, and between which bounds the number may change."""

from __future__ import annotations

import pytest

from inference import FleetConfig


@pytest.mark.parametrize(
    ("lowest", "highest", "gpus", "expected"),
    [
        (None, None, 0, (1, 1, 1)),
        (None, None, 4, (4, 4, 4)),
        (2, None, 0, (2, 2, 2)),
        (1, None, 4, (1, 4, 4)),
        (None, 2, 4, (2, 2, 2)),
        (None, 8, 4, (4, 4, 8)),
        (2, 8, 4, (2, 4, 8)),
        (2, 8, 0, (2, 2, 8)),
        (2, 3, 4, (2, 3, 3)),
    ],
)
def test_the_number_of_replicas(
    lowest: int | None, highest: int | None, gpus: int, expected: tuple[int, int, int]
) -> None:
    config = FleetConfig(min_replicas=lowest, max_replicas=highest)
    assert config.replicas(gpus) == expected
