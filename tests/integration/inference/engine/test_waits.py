"""The host never waits for the device between prepare and decode, shown on the meta device.

Every operation that would wait on a GPU can be recognised when it is dispatched: a copy between two
devices that is not non-blocking, a value fetched from the device, a check of a solution, a table
lookup with indices from the host.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, get_args

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from inference.engine.transfers import NonBlocking
from inference.families import conditioning, latent_preview, masking
from inference.families.denoising import decoding
from inference.families.depth2img import Depth2ImgModel
from inference.families.latent_preview import LatentPreview
from inference.pipelines import random_sd2, random_tiny
from inference.types import Part, Scheduler
from tests.support.engines import LIBRARY_WARNINGS, prepare
from tests.support.requests import request

pytestmark = LIBRARY_WARNINGS

aten = torch.ops.aten
FETCHES = (aten._local_scalar_dense, aten.nonzero, aten.equal, aten._linalg_check_errors)


class Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Collects the operations that would wait, and those whose arguments are on two devices: on a
    GPU most of them fail, and a lookup with indices from the host waits."""

    def __init__(self, found: list[str]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found = found

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        packet = func.overloadpacket
        copies = packet is aten._to_copy and kwargs.get("device", args[0].device) != args[0].device
        if packet is aten.copy_:
            copies = args[0].device != args[1].device
            kwargs = {"non_blocking": args[2] if len(args) > 2 else False} | kwargs
        mixed = packet not in (aten.copy_, aten._to_copy) and len(_devices(args, kwargs)) > 1
        fetches = packet in FETCHES and args[0].device.type == "meta"
        if mixed or fetches or (copies and not kwargs.get("non_blocking")):
            self.found.append(str(func))
        return func(*args, **kwargs)


def _devices(*arguments: Any) -> set[str]:
    """The devices of all tensors among them; CPU scalars may be used with any device."""
    return {
        value.device.type
        for value in tree_leaves(arguments)
        if isinstance(value, torch.Tensor) and (value.dim() > 0 or value.device.type == "meta")
    }


class Calls(TorchFunctionMode):
    """Collects host values that would be copied synchronously without a dispatched operation."""

    def __init__(self, found: list[str]) -> None:
        super().__init__()
        self.found = found

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func in (torch.tensor, torch.as_tensor)
        if made and str((kwargs or {}).get("device")) == "meta":
            self.found.append(func.__name__)
        if func is torch.Tensor.__getitem__ and args[0].device.type == "meta":
            parts = args[1] if isinstance(args[1], tuple) else (args[1],)
            self.found += ["an index" for part in parts if isinstance(part, list)]
        return func(*args, **(kwargs or {}))


@contextmanager
def collect_waits() -> Iterator[list[str]]:
    """The operations inside this block that would wait."""
    found: list[str] = []
    with Operations(found), Calls(found):
        yield found


META = torch.device("meta")
PARTS: tuple[Part, ...] = ("background", "everything")


class LaunchedTransfer:
    """A transfer that never arrives."""

    ready = False

    def __init__(self, values: torch.Tensor, _: Any) -> None:
        self.device = values.device

    def then(self, _: Any) -> LaunchedTransfer:
        return self


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Depth2ImgModel:
    """A model on the meta device, from which no value can be fetched."""
    pipe: Any = (
        random_tiny.build().to(META)
        if request.param == "tiny"
        else random_sd2.build(META, torch.float16)
    )
    projection = torch.empty(4, 3, device=META), torch.empty(3, device=META)
    monkeypatch.setattr(LatentPreview, "_fit", lambda *_: projection)
    for module in (conditioning, decoding, latent_preview, masking):
        monkeypatch.setattr(module, "PendingTransfer", LaunchedTransfer)
    return Depth2ImgModel(pipe)


@pytest.mark.parametrize(
    ("model", "scheduler"),
    [("full size", None), *(("tiny", name) for name in get_args(Scheduler))],
    indirect=["model"],
)
def test_the_host_never_waits_between_prepare_and_decode(
    model: Depth2ImgModel, scheduler: Scheduler | None
) -> None:
    # The batch is that of the tiny model.
    parts = PARTS if scheduler else PARTS[:1]
    options: dict[str, Any] = {"steps": 3, "strength": 1.0, "scheduler": scheduler}
    with collect_waits() as found:
        batch = [
            prepare(model, request(f"r{n}", seed=n, preview=True, part=part, **options))
            for n, part in enumerate(parts)
        ]
        while not batch[0].finished:
            model.predict(batch)
            launched: list[Any] = [model.preview(one) for one in batch]
        for one in batch:
            launched += [model.decode(one), model._depth_picture(one)]
    assert not found
    assert {transfer.device.type for transfer in launched} == {"meta"}


@pytest.mark.parametrize(
    "wait",
    [
        lambda: torch.ones(3).to("meta"),
        lambda: torch.empty(3, device="meta").copy_(torch.ones(3)),
        lambda: torch.linalg.solve(torch.empty(2, 2, device="meta"), torch.empty(2, device="meta")),
        lambda: torch.tensor([1.0, 2.0], device="meta"),
        lambda: torch.empty(3, 3, device="meta") @ torch.ones(3, 3),
        lambda: torch.empty(3, device="meta")[[0, 2]],
        lambda: torch.empty(3, 3, device="meta")[:, [0, 2]],
        lambda: torch.empty(3, device="meta")[torch.tensor([0, 2])],
    ],
)
def test_every_kind_of_wait_is_detected(wait: Callable[[], Any]) -> None:
    with collect_waits() as found:
        wait()
    assert found


def test_non_blocking_changes_no_value() -> None:
    generator = torch.Generator().manual_seed(0)
    left, right = torch.rand(2, 2, generator=generator), torch.rand(2, generator=generator)
    with NonBlocking():
        solution = torch.linalg.solve(left, right)
    assert torch.equal(solution, torch.linalg.solve(left, right))
