"""Signals that end a command."""

from __future__ import annotations

import asyncio
import contextlib
import signal

# Ctrl-C, a service manager's request, and a closed terminal, which Windows does not have.
ENDINGS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)


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
            with contextlib.suppress(NotImplementedError):
                loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)

    for number in numbers:
        try:
            loop.add_signal_handler(number, on_signal)
        except NotImplementedError:
            # The event loops of Windows have no signal handlers. An ordinary handler runs in the
            # main thread, between two steps of the loop.
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(on_signal))
    return stop
