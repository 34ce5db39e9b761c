"""The tests of the cogs share the child processes of the sandbox and of the classifier."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from bot.store.ledger import renewal
from tests.support.processes.classifier_processes import reused_classifiers
from tests.support.processes.sandbox_children import reused_children


@pytest.fixture(scope="module", autouse=True)
def _child_processes() -> Iterator[None]:
    with reused_children(), reused_classifiers():
        yield


@pytest.fixture
def within_one_day() -> None:
    """For tests of the computing time of today: none begins in the last minute of a day."""
    now = time.time()
    if (left := renewal(now) - now) < 60:
        time.sleep(left)
