"""Signals that end a command, also where the event loop has no signal handlers."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from bot.cli.signals import stop_event


@pytest.mark.parametrize("supported", [True, False])
async def test_the_first_signal_sets_the_event_and_restores_the_default(
    monkeypatch: pytest.MonkeyPatch, *, supported: bool
) -> None:
    if not supported:

        def missing(*_: object) -> None:
            raise NotImplementedError

        for name in ("add_signal_handler", "remove_signal_handler"):
            monkeypatch.setattr(type(asyncio.get_running_loop()), name, missing)
    before = signal.getsignal(signal.SIGUSR1)
    try:
        stop = stop_event(signal.SIGUSR1)
        assert not stop.is_set()
        os.kill(os.getpid(), signal.SIGUSR1)
        async with asyncio.timeout(60):
            await stop.wait()
        assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGUSR1, before)
