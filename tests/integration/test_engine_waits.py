"""A step waits for the device nowhere: shown on torch's meta device, which has nothing to wait for.

What would wait on a GPU is an operation that can be seen on its way: a copy between two devices
that is not marked as non-blocking, a number fetched from the device, a check of a solution.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, get_args

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from inference import tiny
from inference.depth2img import Denoising, Depth2ImgModel
from inference.nonblocking import NonBlocking
from inference.types import Scheduler
from tests.support.engines import LIBRARY_WARNINGS
from tests.support.requests import request

pytestmark = LIBRARY_WARNINGS

aten = torch.ops.aten
FETCHES = (aten._local_scalar_dense, aten.nonzero, aten.equal, aten._linalg_check_errors)


class Waits(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Collects the operations that would wait."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found: list[str] = []

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        packet = func.overloadpacket
        copies = packet is aten._to_copy and kwargs.get("device", args[0].device) != args[0].device
        if packet is aten.copy_:
            copies = args[0].device != args[1].device
            kwargs = {"non_blocking": args[2] if len(args) > 2 else False} | kwargs
        if (copies and not kwargs.get("non_blocking")) or (
            packet in FETCHES and args[0].device.type == "meta"
        ):
            self.found.append(str(func))
        return func(*args, **kwargs)


def onto_meta(model: Depth2ImgModel, batch: Sequence[Denoising]) -> None:
    model.pipe.to("meta")
    model.device = torch.device("meta")
    for one in batch:
        one.latents, one.depth, one.text = (
            part.to("meta") for part in (one.latents, one.depth, one.text)
        )


@pytest.mark.parametrize("scheduler", [None, *get_args(Scheduler)])
def test_a_step_waits_for_nothing(scheduler: Scheduler | None) -> None:
    model = Depth2ImgModel(tiny.build())
    batch = [
        model.prepare(request(f"r{n}", seed=n, steps=5 + n, strength=1.0, scheduler=scheduler))
        for n in range(3)
    ]
    onto_meta(model, batch)
    with Waits() as waits:
        for _ in range(5):
            model.predict(batch)
    assert not waits.found
    assert [one.step for one in batch] == [5, 5, 5]


@pytest.mark.parametrize(
    "wait",
    [
        lambda: torch.ones(3).to("meta"),
        lambda: torch.empty(3, device="meta").copy_(torch.ones(3)),
        lambda: torch.linalg.solve(torch.empty(2, 2, device="meta"), torch.empty(2, device="meta")),
    ],
)
def test_what_waits_is_seen(wait: Callable[[], Any]) -> None:
    with Waits() as waits:
        wait()
    assert len(waits.found) == 1


def test_not_to_wait_changes_no_number() -> None:
    generator = torch.Generator().manual_seed(0)
    left, right = torch.rand(2, 2, generator=generator), torch.rand(2, generator=generator)
    with NonBlocking():
        solution = torch.linalg.solve(left, right)
    assert torch.equal(solution, torch.linalg.solve(left, right))
