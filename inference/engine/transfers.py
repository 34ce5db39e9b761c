"""A loop that does not wait for the device: what it sends goes by itself, and so does what returns.

A wait leaves a GPU without work until the host has launched something new. A copy from or to
ordinary memory is such a wait, and so is looking whether a linear system had a solution.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

import torch
from torch.overrides import TorchFunctionMode


def to_device(values: torch.Tensor, device: torch.device) -> torch.Tensor:
    """`values` on `device`, by a copy that the host does not wait for where it can be had."""
    if device.type == "cuda":
        # The driver waits for copies from memory that it may page out.
        values = values.pin_memory()
    return values.to(device, non_blocking=device.type != "mps")


T = TypeVar("T")


class PendingTransfer(Generic[T]):
    """Values on their way to the host, and what `finish` makes of them there."""

    def __init__(self, values: torch.Tensor, finish: Callable[[torch.Tensor], T]) -> None:
        self._finish = finish
        self._copied: torch.cuda.Event | None = None
        if values.device.type == "cuda":
            self._values = torch.empty_like(values, device="cpu", pin_memory=True)
            self._values.copy_(values, non_blocking=True)
            self._copied = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
            self._copied.record()
        else:
            self._values = values.to("cpu")

    @property
    def here(self) -> bool:
        """Whether `get` would not wait."""
        return self._copied is None or bool(self._copied.query())  # type: ignore[no-untyped-call]

    def get(self) -> T:
        """What was made of them; waits for those that are not here yet."""
        if self._copied is not None:
            self._copied.synchronize()
        return self._finish(self._values)


class NonBlocking(TorchFunctionMode):
    """Inside this context the library does not wait for the device where it need not.

    Whatever it sends there goes by a copy that nobody waits for, and UniPC's small linear system is
    solved without a look at whether it could be.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Called by torch for each of its functions; see `torch.overrides`."""
        options = dict(kwargs or {})
        if func is torch.linalg.solve:
            return torch.linalg.solve_ex(*args, **options).result
        if func is torch.Tensor.to and args[0].device.type == "cpu":
            targets = [part for part in (*args[1:], *options.values()) if _is_device(part)]
            if targets and (device := torch.device(targets[0])).type != "cpu":
                rest = [part for part in args[1:] if not _is_device(part)]
                options.pop("device", None)
                moved = to_device(args[0], device)
                return moved.to(*rest, **options) if rest or options else moved
        return func(*args, **options)


def _is_device(value: Any) -> bool:
    return isinstance(value, torch.device | str)
