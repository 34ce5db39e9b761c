"""The tests of the cogs share the sandbox's child processes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.processes.sandbox_children import reused_children


@pytest.fixture(scope="module", autouse=True)
def _sandbox_children() -> Iterator[None]:
    with reused_children():
        yield
