"""A bot process that a test can kill: at a failpoint or at any time."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from pathlib import Path

from bot.runner import runner
from tests.support.bots.minimal_bot import FastEngine, open_bot, point_discord_py_at


def run(
    port: int,
    folder: str,
    application_id: int,
    offset: float,
    kill_at: tuple[str, int] | None,
    stuck: bool,
) -> None:
    """Serve until SIGTERM.

    With `kill_at` = (point, n) the process sends itself SIGKILL when it reaches that failpoint for
    the n-th time. The bot's clock is `offset` seconds ahead. A `stuck` engine never finishes, so
    that a short wait for it is as good as a long one.
    """
    if stuck:
        runner.GRACE_SECONDS = 0.1
    logging.basicConfig(filename=f"{folder}.log", level=logging.WARNING)
    point_discord_py_at(port)
    asyncio.run(_serve(folder, application_id, offset, kill_at, FastEngine(stuck=stuck)))


async def _serve(
    folder: str,
    application_id: int,
    offset: float,
    kill_at: tuple[str, int] | None,
    engine: FastEngine,
) -> None:
    point, left = kill_at or ("", 0)

    def failpoint(name: str) -> None:
        nonlocal left
        if name == point:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with open_bot(
        Path(folder),
        application_id,
        clock=lambda: time.time() + offset,
        failpoint=failpoint,
        engine=engine,
    ) as bot:
        gateway = asyncio.create_task(bot.client.connect())
        stopped = asyncio.create_task(stop.wait())
        done, _ = await asyncio.wait({gateway, stopped}, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
        gateway.cancel()
        await asyncio.gather(gateway, return_exceptions=True)
