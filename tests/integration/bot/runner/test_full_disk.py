"""A disk that is really full: accepted jobs wait and continue, new ones are refused, no file stays.

The bot runs in a process of its own, in a mount namespace with a small file system.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from tests.support.namespaces import IN_MOUNT_NAMESPACE, needs_mount_namespace

ROOT = Path(__file__).parents[4]
pytestmark = needs_mount_namespace

SCRIPT = """
import asyncio, json, logging, pathlib, random, subprocess, sys
from dataclasses import replace
import bot.delivery.delivery, bot.runner.runner
from bot.errors import StorageFull, UserError
from bot.images.picture import Picture
from tests.support.bots.running_bot import Engine, open_running_bot

folder = pathlib.Path(sys.argv[1])
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", folder], check=True)
logging.basicConfig(stream=sys.stderr)
bot.delivery.delivery.FIRST_STORAGE_PAUSE = bot.delivery.delivery.LONGEST_PAUSE = 0.1
bot.runner.runner.FIRST_STORAGE_PAUSE = bot.runner.runner.LONGEST_STORAGE_PAUSE = 0.1
noise = random.Random(1).randbytes(500 * 400 * 3)
report = {}

class NoisyEngine(Engine):
    async def generate(self, request, on_progress=None):
        result = await super().generate(request, on_progress)
        return replace(result, pixels=noise, width=500, height=400)

def fill():
    with (folder / "filler").open("wb", buffering=0) as file:
        for size in (65536, 4096, 512):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                pass

def parts():
    return len(list((folder / "pictures").glob("*.part")))

async def main():
    engine = NoisyEngine()
    async with open_running_bot(folder, engine) as running:
        engine.gate.clear()
        jobs = [await running.ask(user) for user in (1, 2)]
        await engine.until(lambda: len(engine.inside) == 2)
        fill()
        engine.gate.set()
        # Both attempts have ended and wait for space.
        while len(running.bot.runner.queue.order()) < 2:
            await asyncio.sleep(0.01)
        report["parts while full"] = parts()
        report["answers while full"] = sum(len(running.answers(job)) for job in jobs)
        try:
            await running.ask(3)
        except StorageFull as error:
            report["refusal"] = str(error)
        (folder / "filler").unlink()
        await running.idle()
        report["states"] = [(await running.state(job)).state for job in jobs]
        report["answers"] = [len(running.answers(job)) for job in jobs]
        report["parts"] = parts()
        runner = running.bot.runner
        runner.acceptance._min_free_bytes = 2**21
        try:
            await running.ask(4)
        except StorageFull as error:
            report["early refusal"] = str(error)
    print(json.dumps(report))

asyncio.run(main())
"""


async def run(folder: Path) -> tuple[dict[str, Any], str]:
    process = await asyncio.create_subprocess_exec(
        *(*IN_MOUNT_NAMESPACE, sys.executable, "-c", SCRIPT, folder),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        out, log = await process.communicate()
    print(log.decode())
    assert process.returncode == 0
    return json.loads(out), log.decode()


async def test_accepted_jobs_continue_when_there_is_space_again(tmp_path: Path) -> None:
    report, log = await run(tmp_path)
    assert report["parts while full"] == 0
    assert report["answers while full"] == 0
    assert report["states"] == ["delivered", "delivered"]
    assert report["answers"] == [1, 1]
    assert report["parts"] == 0
    sentence = "The bot's disk is full. Please tell the bot's operator."
    assert report["refusal"] == report["early refusal"] == sentence
    assert "the disk is full: jobs wait" in log
    assert "Traceback" not in log
