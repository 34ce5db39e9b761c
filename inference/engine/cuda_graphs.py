"""Replays a denoiser's kernel launches as CUDA graphs.

One call of a UNet launches several hundred kernels from Python, which takes longer than their work
if the call has few rows. A CUDA graph launches all of them at once. It belongs to one shape of
inputs, so that calls are padded to a few numbers of rows; calls with more rows keep the device
busy without graphs.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

log = logging.getLogger(__name__)

ROWS = (1, 2, 4, 6, 8, 12)
"""The numbers of rows that have graphs."""

CALLS_BEFORE_CAPTURE = 2
"""Eager calls of a shape before its graph is captured: the first ones choose algorithms and load
kernels, and a size that is used once is not worth a graph."""

MAX_GRAPHS = 48


@dataclass(frozen=True, slots=True, eq=False)
class _Captured:
    graph: Any
    inputs: tuple[torch.Tensor, ...]
    output: torch.Tensor


class CudaGraphs:
    """Calls `denoiser(inputs, timesteps, text)` by a graph where one exists.

    All graphs share their memory: a result is copied out before the next replay. A failed capture
    turns graphs off.
    """

    def __init__(self, denoiser: Callable[..., torch.Tensor]) -> None:
        self.replays = 0
        self._denoiser = denoiser
        self._captured: dict[tuple[torch.Size, ...], _Captured] = {}
        self._calls: Counter[tuple[torch.Size, ...]] = Counter()
        self._pool: Any = None
        self._enabled = True

    def __call__(self, *inputs: torch.Tensor) -> torch.Tensor:
        """The denoiser's output for inputs with equal numbers of rows."""
        rows = len(inputs[0])
        if not self._enabled or rows > ROWS[-1]:
            return self._denoiser(*inputs)
        padded_rows = next(number for number in ROWS if number >= rows)
        padded = tuple(_pad(tensor, padded_rows) for tensor in inputs)
        key = tuple(tensor.shape for tensor in padded)
        captured = self._captured.get(key)
        if captured is None:
            self._calls[key] += 1
            if self._calls[key] <= CALLS_BEFORE_CAPTURE or len(self._captured) >= MAX_GRAPHS:
                return self._denoiser(*padded)[:rows]
            captured = self._capture(padded)
            if captured is None:
                return self._denoiser(*inputs)
            self._captured[key] = captured
        for static, tensor in zip(captured.inputs, padded, strict=True):
            static.copy_(tensor)
        captured.graph.replay()
        self.replays += 1
        return captured.output[:rows].clone()

    def _capture(self, inputs: tuple[torch.Tensor, ...]) -> _Captured | None:
        static = tuple(tensor.clone() for tensor in inputs)
        graph = torch.cuda.CUDAGraph()
        if self._pool is None:
            self._pool = torch.cuda.graph_pool_handle()
        try:
            # Other threads may use the device's memory for copies meanwhile.
            with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
                output = self._denoiser(*static)
        except Exception:
            log.warning("CUDA graphs are turned off", exc_info=True)
            self._enabled = False
            return None
        return _Captured(graph, static, output)


def _pad(tensor: torch.Tensor, rows: int) -> torch.Tensor:
    """The tensor with its last row repeated up to `rows`."""
    missing = rows - len(tensor)
    if missing == 0:
        return tensor
    return torch.cat([tensor, tensor[-1:].expand(missing, *tensor.shape[1:])])
