"""Asks a child process for the device and the precision that the worker would use.

This process never imports torch.
"""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import dataclass

from bot.cli.model_errors import explain
from bot.config import Settings
from bot.errors import StartError
from inference import DeviceNotFound


@dataclass(frozen=True, slots=True)
class Device:
    """`kind` is cuda, mps or cpu; `warning` says why a GPU of this machine is not used."""

    kind: str
    dtype: str
    memory_gib: float
    warning: str | None

    @property
    def half_precision(self) -> bool:
        """Whether models run in half precision on it."""
        return self.dtype != "float32"


async def find_device(settings: Settings) -> Device:
    """The device for `DEVICE` and `DTYPE`.

    Raises:
        StartError: there is no such device, or torch cannot be imported.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "inference.pipelines.devices",
        settings.device,
        settings.dtype,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, errors = await process.communicate()
    if process.returncode:
        lines = errors.decode(errors="replace").strip().splitlines() or ["torch does not start."]
        raise StartError(explain(DeviceNotFound(lines[-1])))
    found = json.loads(out)
    return Device(found["device"], found["dtype"], found["memory_gib"], found["warning"])
