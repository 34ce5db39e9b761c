"""Signals that end a command."""

from __future__ import annotations

import asyncio
import signal


def stop_event(*numbers: signal.Signals) -> asyncio.Event:
    """Return an event that the first of these signals sets.

    The handlers are then removed, so that a second signal ends the process at once. The model's
    process ends by itself when its parent is gone.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()

    def on_signal() -> None:
        stop.set()
        for number in numbers:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)

    for number in numbers:
        loop.add_signal_handler(number, on_signal)
    return stop
