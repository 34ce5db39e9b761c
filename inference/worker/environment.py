"""The environment variables that choose a CUDA device. They are set before torch is imported."""

from __future__ import annotations

import re
from collections.abc import Mapping

_NUMBERED = re.compile(r"cuda:(\d+)")


def device_environment(device: str, environment: Mapping[str, str]) -> dict[str, str]:
    """The variables to add to `environment` so that torch sees only the device `cuda:N`.

    N counts the devices that `CUDA_VISIBLE_DEVICES` lists, or all devices in the order of
    `nvidia-smi` (https://docs.nvidia.com/cuda/cuda-c-programming-guide/#cuda-environment-variables).
    For other devices the result is empty. If the list has no N-th device, torch will see none.
    """
    numbered = _NUMBERED.fullmatch(device)
    if numbered is None:
        return {}
    number = int(numbered[1])
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        chosen = str(number)
    else:
        listed = [part.strip() for part in visible.split(",") if part.strip()]
        chosen = listed[number] if number < len(listed) else ""
    # CUDA's default order is by speed; nvidia-smi numbers devices by their bus address.
    order = environment.get("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    return {"CUDA_DEVICE_ORDER": order, "CUDA_VISIBLE_DEVICES": chosen}
