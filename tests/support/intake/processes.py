"""The child processes of this test."""

from __future__ import annotations

from pathlib import Path

import psutil


def sandbox_children() -> list[psutil.Process]:
    """The running decoders of the sandbox."""
    return [
        child
        for child in psutil.Process().children()
        if any("bot.intake.sandbox.sandbox_main" in part for part in child.cmdline())
    ]


def peak_memory(child: psutil.Process) -> int:
    """The largest address space that a process has had, in bytes. Linux only."""
    status = Path(f"/proc/{child.pid}/status").read_text()
    return int(status.split("VmPeak:")[1].split()[0]) * 1024
