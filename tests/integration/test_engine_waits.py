"""The loop waits for the device nowhere: shown on the meta device, which has nothing to wait for.

What would wait on a GPU is an operation that can be seen on its way: a copy between two devices
that is not marked as non-blocking, a number fetched from the device, a check of a solution.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any, get_args

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from inference import depth2img, tiny
from inference.depth2img import Depth2ImgModel
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


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Depth2ImgModel:
    """A pipeline that was moved to the meta device, from which nothing can be fetched."""
    made = Depth2ImgModel(tiny.build())
    made.pipe.to("meta")
    made.device = torch.device("meta")
    weights, bias = made._projection
    made._projection = weights.to("meta"), bias.to("meta")
    monkeypatch.setattr(depth2img, "Arriving", lambda values, _: values)
    # The meta device has no autocast, in which the library runs its depth estimator.
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())
    return made


@pytest.mark.parametrize("scheduler", [None, *get_args(Scheduler)])
def test_from_preparing_to_decoding_nothing_is_waited_for(
    model: Depth2ImgModel, scheduler: Scheduler | None
) -> None:
    with Waits() as waits:
        batch = [
            model.prepare(
                request(f"r{n}", seed=n, steps=5, strength=1.0, scheduler=scheduler, preview=True)
            )
            for n in range(3)
        ]
        while not batch[0].finished:
            model.predict(batch)
            launched: list[Any] = [model.preview(one) for one in batch]
        for one in batch:
            launched += [model.decode(one), model.depth_picture(one)]
    assert not waits.found
    assert {values.device.type for values in launched} == {"meta"}


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
