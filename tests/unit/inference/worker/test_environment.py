"""The CUDA device that a worker process sees."""

from __future__ import annotations

import pytest

from inference.worker.environment import device_environment


@pytest.mark.parametrize("device", ["auto", "cuda", "mps", "cpu"])
def test_a_device_without_a_number_changes_nothing(device: str) -> None:
    assert device_environment(device, {"CUDA_VISIBLE_DEVICES": "3"}) == {}


@pytest.mark.parametrize(
    ("device", "visible", "chosen"),
    [
        ("cuda:0", None, "0"),
        ("cuda:1", None, "1"),
        ("cuda:1", "4, 5", "5"),
        ("cuda:0", "GPU-8f2b,GPU-1c9d", "GPU-8f2b"),
        ("cuda:2", "4,5", ""),
        ("cuda:0", "", ""),
    ],
)
def test_a_numbered_device_is_the_only_visible_one(
    device: str, visible: str | None, chosen: str
) -> None:
    environment = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    assert device_environment(device, environment) == {
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        "CUDA_VISIBLE_DEVICES": chosen,
    }


def test_an_order_that_the_operator_chose_is_kept() -> None:
    environment = {"CUDA_DEVICE_ORDER": "FASTEST_FIRST"}
    assert device_environment("cuda:1", environment)["CUDA_DEVICE_ORDER"] == "FASTEST_FIRST"
