"""The tests of the cogs share the child processes of the sandbox and of the classifier."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.processes.classifier_processes import reused_classifiers
from tests.support.processes.sandbox_children import reused_children


@pytest.fixture(scope="module", autouse=True)
def _child_processes() -> Iterator[None]:
    with reused_children(), reused_classifiers():
        yield
