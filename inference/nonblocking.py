"""Steps that never wait for the device.

A wait inside a step leaves a GPU without work until the host has launched something new. A copy
from ordinary memory is such a wait, and so is looking whether a linear system had a solution.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.overrides import TorchFunctionMode


def to_device(values: torch.Tensor, device: torch.device) -> torch.Tensor:
    """`values` on `device`, by a copy that the host does not wait for where it can be had."""
    if device.type == "cuda":
        # The driver waits for copies from memory that it may page out.
        values = values.pin_memory()
    return values.to(device, non_blocking=device.type != "mps")


class NonBlocking(TorchFunctionMode):
    """Inside this context the library's schedulers do not wait for the device.

    UniPC is the one that does otherwise: it copies noise levels over one by one, and has the
    solution of its small system checked.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Called by torch for each of its functions; see `torch.overrides`."""
        if func is torch.linalg.solve:
            return torch.linalg.solve_ex(*args, **(kwargs or {})).result
        if func is torch.Tensor.to and len(args) == 2 and isinstance(args[1], torch.device):
            values, device = args
            if values.device.type == "cpu" and device.type != "cpu":
                return to_device(values, device)
        return func(*args, **(kwargs or {}))
