"""The whole bot as a process: every cog, the picture sandbox, a worker with a tiny model."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path

from tests.support.bots.crash_campaign import death
from tests.support.bots.minimal_bot import point_discord_py_at
from tests.support.processes.forks import FORKS, fork_workers

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


def _environment(folder: Path) -> dict[str, str]:
    return {
        **os.environ,
        "DATA_DIR": str(folder),
        "DISCORD_TOKEN": f"token-of-{APPLICATION}",
        "MESSAGE_CONTENT": "true",
        "MODEL": "noise",
        "DTYPE": "float32",
    }


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
        env={**_environment(folder), **settings},
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


def serve_forked(port: int, log: str, environment: dict[str, str]) -> None:
    """`python -m bot run` in a forked process; its worker is forked, too."""
    from bot.__main__ import main

    os.environ.update(environment)
    with Path(log).open("wb") as file:
        os.dup2(file.fileno(), sys.stderr.fileno())
    fork_workers()
    point_discord_py_at(port)
    sys.exit(main(["run"]))


def serve_benchmark_forked(port: int, folder: str) -> None:
    """The bot of `tests.benchmarks.interactions` in a forked process; its worker is forked, too."""
    from tests.benchmarks.interactions import serve

    fork_workers()
    serve(port, folder)


@asynccontextmanager
async def forked_bot(
    port: int, folder: Path, **settings: str
) -> AsyncIterator[tuple[BaseProcess, Path]]:
    """As `running_bot` with a worker, without the seconds that the imports of both processes take.

    The log is a file: what the bot writes to its standard error, and so the worker's log, which the
    bot writes. What a library prints in the worker is not in it.
    """
    log = folder / "log.txt"
    log.touch()
    environment = {**_environment(folder), **settings}
    process = FORKS.Process(target=serve_forked, args=(port, str(log), environment))
    process.start()
    try:
        yield process, log
    finally:
        process.kill()
        process.join()
        print(log.read_text())


async def stop_forked(process: BaseProcess) -> int | None:
    """End a forked bot as systemd does; its exit code."""
    process.terminate()
    async with asyncio.timeout(30):
        await death(process)
    process.join()
    return process.exitcode


async def stop(process: asyncio.subprocess.Process) -> int:
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(30):
        return await process.wait()
