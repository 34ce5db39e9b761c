"""What `models list` says about the memory of a model."""

from __future__ import annotations

import pytest

from bot.cli.models import _memory
from inference.models import MODELS


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("sd2-depth", "GPU 4.7 GiB (slower: 3.0), CPU 7.2 GiB"),
        ("sd15", "GPU 4.3 GiB"),
        ("klein-4b", "GPU 17.5 GiB"),
        ("sdxl-depth-lightning", "unknown"),
        ("pocket", ""),
    ],
)
def test_the_list_names_the_memory_and_that_of_a_slower_mode(name: str, text: str) -> None:
    """klein has no slower mode."""
    assert _memory(MODELS[name]) == text
