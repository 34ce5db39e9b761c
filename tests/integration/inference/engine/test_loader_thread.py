"""Loading inputs on a second thread does not slow the denoiser's calls."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from inference.engine.loader_thread import loader_thread


@pytest.mark.skipif(sys.platform != "linux", reason="counts the threads in /proc")
@pytest.mark.parametrize("number", [2, 3])
def test_the_loader_computes_without_further_threads(number: int) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    # The team of this thread.
    torch.ones(10_000_000).sum()
    try:
        with loader_thread() as loader:
            threads = _threads()
            loader.submit(lambda: torch.ones(10_000_000).sum()).result()
            assert _threads() == threads
            assert loader.submit(torch.get_num_threads).result() == 1
        assert torch.get_num_threads() == number
    finally:
        torch.set_num_threads(before)


def _threads() -> int:
    return len(list(Path("/proc/self/task").iterdir()))
