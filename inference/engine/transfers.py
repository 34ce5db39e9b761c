"""Asynchronous copies between host and device.

A synchronous copy from or to pageable memory makes the host wait for the device, which then runs
out of queued work; so does every check of a result on the host.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

import torch
from torch.overrides import TorchFunctionMode


def to_device(values: torch.Tensor, device: torch.device) -> torch.Tensor:
    """`values` on `device`, copied without blocking the host where the device supports it."""
    if device.type == "cuda":
        # Copies from pageable memory block the host.
        values = values.pin_memory()
    return values.to(device, non_blocking=device.type != "mps")


T = TypeVar("T")
U = TypeVar("U")


class PendingTransfer(Generic[T]):
    """A copy from the device to the host; `finish` converts the values once they have arrived."""

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
    def ready(self) -> bool:
        """Whether `result` returns without waiting for the device."""
        return self._copied is None or bool(self._copied.query())  # type: ignore[no-untyped-call]

    def result(self) -> T:
        """The converted values; waits for the copy if necessary. Raises what `finish` raises."""
        if self._copied is not None:
            self._copied.synchronize()
        return self._finish(self._values)

    def then(self, convert: Callable[[T], U]) -> PendingTransfer[U]:
        """The same copy with a further conversion of its result."""
        following: PendingTransfer[U] = PendingTransfer.__new__(PendingTransfer)
        finish = self._finish
        following._values, following._copied = self._values, self._copied
        following._finish = lambda values: convert(finish(values))
        return following


class NonBlocking(TorchFunctionMode):
    """Makes library code inside this context avoid waits for the device.

    Copies to the device become non-blocking, and `torch.linalg.solve` (UniPC's 2 × 2 system) skips
    its check for singularity, which would fetch a flag from the device.
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
        # Not for a module that moves its parameters: pinning a copy of them would take memory.
        if (
            func is torch.Tensor.to
            and args[0].device.type == "cpu"
            and not isinstance(args[0], torch.nn.Parameter)
        ):
            parts = (*args[1:], *options.values())
            targets = [part for part in parts if _is_device(part)]
            if targets and (device := torch.device(targets[0])).type != "cpu":
                moved = to_device(args[0], device)
                changes = [
                    part for part in parts if isinstance(part, torch.dtype | torch.memory_format)
                ]
                for change in changes:
                    if isinstance(change, torch.dtype):
                        moved = moved.to(change)
                    else:
                        moved = moved.to(memory_format=change)
                return moved
        return func(*args, **options)


def _is_device(value: Any) -> bool:
    return isinstance(value, torch.device | str)
