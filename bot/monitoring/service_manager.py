"""Tells systemd that the bot is ready, alive and stopping (`Type=notify`, `WatchdogSec`).

Protocol: https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Mapping

log = logging.getLogger(__name__)

# Without a watchdog there is nothing to do.
IDLE_SECONDS = 3600.0


def notify(state: str, environment: Mapping[str, str] = os.environ) -> None:
    """Send `READY=1`, `STOPPING=1`, `WATCHDOG=1` or `STATUS=text`; nothing without systemd."""
    address = environment.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        # A socket in Linux's abstract namespace.
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as connection:
        # The event loop must not wait until systemd has read earlier messages.
        connection.setblocking(False)
        try:
            connection.sendto(state.encode(), address)
        except BlockingIOError:
            log.warning("systemd does not read its messages; %s was dropped", state)


async def report_alive(environment: Mapping[str, str] = os.environ) -> None:
    """Until cancelled, tell systemd twice per `WatchdogSec` that the event loop runs.

    A blocked event loop sends nothing, so that systemd restarts the bot.
    """
    timeout = int(environment.get("WATCHDOG_USEC", "0")) / 1e6
    while True:
        if timeout:
            notify("WATCHDOG=1", environment)
        await asyncio.sleep(timeout / 2 or IDLE_SECONDS)
