"""The child processes of this test."""

from __future__ import annotations

import psutil


def sandbox_children() -> list[psutil.Process]:
    """The running decoders of the sandbox."""
    return [
        child
        for child in psutil.Process().children()
        if any("bot.intake.sandbox.sandbox_main" in part for part in child.cmdline())
    ]
