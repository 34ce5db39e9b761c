"""The whole bot as a process: every cog, the picture sandbox, a worker with a tiny model."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

ROOT = Path(__file__).parents[3]
APPLICATION = 1001
# The lengths of the pauses between attempts, of the bot and of discord.py, do not matter here.
SCRIPT = """
import asyncio, sys
from discord import Client
from discord.backoff import ExponentialBackoff
from bot import __main__
from bot.cli import connection
from tests.support.bots.minimal_bot import point_discord_py_at
connection.FIRST_PAUSE = connection.LONGEST_PAUSE = 0.05
ExponentialBackoff.delay = lambda self: 0.05
Client.before_identify_hook = lambda self, shard_id, initial: asyncio.sleep(0.05)
point_discord_py_at(int(sys.argv[1]))
if sys.argv[2] == "fake":
    from bot.cli import run
    from tests.support.services import ScriptedService
    run.inference_service = lambda settings: ScriptedService()
sys.exit(__main__.main(["run"]))
"""


@asynccontextmanager
async def running_bot(
    port: int, folder: Path, *, worker: bool = True, **settings: str
) -> AsyncIterator[tuple[asyncio.subprocess.Process, asyncio.Task[bytes]]]:
    """The process with these settings, and a task that collects its log until its end.

    Without a `worker` the service is a fake; a worker takes seconds to start.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        SCRIPT,
        str(port),
        "real" if worker else "fake",
        cwd=ROOT,
        env={
            **os.environ,
            "DATA_DIR": str(folder),
            "DISCORD_TOKEN": f"token-of-{APPLICATION}",
            "MESSAGE_CONTENT": "true",
            "MODEL": "noise",
            "DTYPE": "float32",
            **settings,
        },
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    log = asyncio.create_task(process.stderr.read())
    try:
        yield process, log
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        print((await log).decode())


async def stop(process: asyncio.subprocess.Process) -> int:
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(30):
        return await process.wait()
