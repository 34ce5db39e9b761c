"""Non-blocking copies to the device. `meta` stands for a GPU."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from inference.engine.transfers import NonBlocking

META = torch.device("meta")


@pytest.mark.parametrize(
    ("arguments", "options", "dtype"),
    [
        ((META,), {}, torch.float32),
        (("meta", torch.float16), {}, torch.float16),
        ((META, None, False), {}, torch.float32),
        ((META, torch.float16, True), {}, torch.float16),
        ((), {"device": META, "dtype": torch.float16}, torch.float16),
        ((), {"device": "meta", "dtype": None, "non_blocking": True}, torch.float32),
    ],
)
def test_every_form_of_to_moves_the_tensor(
    arguments: tuple[Any, ...], options: dict[str, Any], dtype: torch.dtype
) -> None:
    with NonBlocking():
        moved = torch.ones(2).to(*arguments, **options)
    assert (moved.device, moved.dtype) == (META, dtype)


def test_the_memory_format_is_kept() -> None:
    with NonBlocking():
        moved = torch.ones(1, 2, 3, 3).to(META, memory_format=torch.channels_last)
    assert moved.is_contiguous(memory_format=torch.channels_last)


def test_a_module_can_be_moved() -> None:
    """accelerate moves offloaded components within a step of the engine."""
    with NonBlocking():
        module = torch.nn.BatchNorm2d(2).to(META)
    assert {tensor.device for tensor in (*module.parameters(), *module.buffers())} == {META}
