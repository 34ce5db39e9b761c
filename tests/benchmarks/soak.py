"""A long mixed load on the whole bot; measures whether the memory of its processes grows.

    python -m tests.benchmarks.soak                                    # 30 minutes
    python -m tests.benchmarks.soak --minutes 10 --variant MALLOC_ARENA_MAX=2

The bot (`python -m bot run`, every cog, the picture sandbox, a worker process with a small real
pipeline) runs on the fake Discord. Once the model is ready, users send pictures in many formats,
damaged files and commands. With `--no-worker` a fake service returns pictures at once, so that the
bot itself does as much as the processor allows. Each `--variant` starts one more bot with that
environment variable, which gets the same load at the same time.

The resident memory of both processes comes from the bot's own metrics. After the warm-up a straight
line is fitted to it (least squares); its slope is printed in MiB an hour. The kinds of memory that
have grown come from the kernel's list of mappings. `--csv FILE` keeps every sample.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import random
import re
import socket
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import psutil

from tests.support.bots.full_bot_process import APPLICATION, running_bot
from tests.support.fake_discord.server import FakeDiscord, fake_discord
from tests.support.fake_discord.state import DiscordState
from tests.support.intake.pictures import FORMATS, encoded, quarters

SAMPLE_SECONDS = 5.0
START_SECONDS = 300.0
CHANNELS, USERS = 50, 500
PROMPTS = 100
"""Different prompts. The worker caches prompts and pictures up to a number of bytes: with prompts
that are all different its memory would grow for hours, until the cache is full."""
PROCESSES = {
    "bot": "process_resident_memory_bytes",
    "worker": "redraw_worker_resident_memory_bytes",
}
MIB = 2**20
PLOT_WIDTH = 60


@dataclass
class Bot:
    """A bot under test. `samples` are (seconds since the start, process → bytes)."""

    name: str
    application: int
    port: int
    pid: int = 0
    pictures: float = 0.0
    samples: list[tuple[float, dict[str, float]]] = field(default_factory=list)
    mappings: list[Counter[str]] = field(default_factory=list)

    async def sample(self, session: aiohttp.ClientSession, seconds: float) -> None:
        """Read the metrics once."""
        async with session.get(f"http://127.0.0.1:{self.port}/metrics") as response:
            text = await response.text()
        self.samples.append((seconds, {name: _value(text, key) for name, key in PROCESSES.items()}))
        self.pictures = _value(text, "redraw_pictures_total")

    def slope(self, process: str, warm_up: float) -> float:
        """Bytes a second, fitted to the samples after the warm-up."""
        points = [(at, values[process]) for at, values in self.samples if at >= warm_up]
        times, sizes = np.array(points).T
        return float(np.polyfit(times, sizes, 1)[0])


def _value(text: str, name: str) -> float:
    found = re.search(rf"^{name} (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def mappings(pid: int) -> Counter[str]:
    """Private memory in bytes by kind of mapping."""
    sizes: Counter[str] = Counter()
    for one in psutil.Process(pid).memory_maps(grouped=False):
        kind = one.path if one.path.startswith("[") else "files"
        sizes["allocator arenas and other anonymous" if kind == "[anon]" else kind] += (
            one.private_dirty
        )
    return sizes


def files() -> list[bytes]:
    """Pictures of all formats and many sizes; every tenth is damaged or is no picture."""
    random_ = random.Random(1)
    made: list[bytes] = []
    while len(made) < 60:
        size = (random_.randrange(64, 1200), random_.randrange(64, 1200))
        data = encoded(quarters(size=size), FORMATS[len(made) % len(FORMATS)])
        match len(made) % 20:
            case 3:
                data = data[: len(data) // 2]
            case 7:
                data = b"not a picture " * 1000
        made.append(data)
    return made


async def act(discord: FakeDiscord, bot: int, random_: random.Random, file: bytes) -> None:
    """One action of a user."""
    channel = bot * 1_000_000 + random_.randrange(CHANNELS)
    user = 2_000_000 + random_.randrange(USERS)
    match random_.randrange(10):
        case 0:
            await discord.command(bot, channel, user, "queue")
        case 1:
            await discord.command(bot, channel, user, "history")
        case 2:
            await discord.command(bot, channel, user, "cancel")
        case _:
            prompt = f"harbour {random_.randrange(PROMPTS)}"
            options: dict[str, Any] = {"prompt": prompt, "image": file}
            if random_.random() < 0.2:
                options["count"] = 2
            await discord.command(bot, channel, user, "img2img", **options)


async def load(
    discord: FakeDiscord,
    bots: Sequence[Bot],
    pictures: Sequence[bytes],
    seconds: float,
    rate: float,
    warm_up: float,
) -> None:
    """Send the same actions to each bot, and sample their memory."""
    random_ = random.Random(1)
    began = sampled = time.monotonic()
    number = 0
    async with aiohttp.ClientSession() as session:
        while (now := time.monotonic() - began) < seconds:
            seed, file = random_.random(), random_.choice(pictures)
            for bot in bots:
                await act(discord, bot.application, random.Random(seed), file)
            if time.monotonic() - sampled >= SAMPLE_SECONDS:
                sampled = time.monotonic()
                for bot in bots:
                    await bot.sample(session, now)
                    if len(bot.mappings) == 0 and now >= warm_up:
                        bot.mappings.append(mappings(bot.pid))
            number += 1
            await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
        for bot in bots:
            bot.mappings.append(mappings(bot.pid))


async def wait_ready(bot: Bot) -> None:
    """Wait until the bot is connected and its model is loaded."""
    async with aiohttp.ClientSession() as session:
        while True:
            async with session.get(f"http://127.0.0.1:{bot.port}/readyz") as response:
                if response.status == 200:
                    return
            await asyncio.sleep(1)


async def measure(
    minutes: float, rate: float, warm_up: float, variants: Sequence[str], *, worker: bool
) -> list[Bot]:
    """Run the load on one bot for each variant and one without; the bots with their samples."""
    bots = []
    # Before the bots start: encoding takes long enough to miss a heartbeat of the gateway.
    pictures = files()
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        discord = await stack.enter_async_context(fake_discord(DiscordState()))
        for number, variant in enumerate(("", *variants)):
            bot = Bot(variant or "as installed", APPLICATION + number, _free_port())
            name, _, value = variant.partition("=")
            changes: dict[str, Any] = {name: value} if variant else {}
            process, _ = await stack.enter_async_context(
                running_bot(
                    discord.port,
                    folder / str(number),
                    worker=worker,
                    DISCORD_TOKEN=f"token-of-{bot.application}",
                    METRICS_PORT=str(bot.port),
                    # The image check refuses the generated pictures.
                    MODERATION="false",
                    MESSAGE_CONTENT="false",
                    RETENTION_HOURS="0.1",
                    LOG_LEVEL="ERROR",
                    **changes,
                )
            )
            bot.pid = process.pid
            bots.append(bot)
            async with asyncio.timeout(START_SECONDS):
                await discord.gateway.wait_ready(bot.application)
                await wait_ready(bot)
        await load(discord, bots, pictures, minutes * 60, rate, warm_up * 60)
    return bots


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def report(bot: Bot, warm_up: float) -> None:
    """Print the slopes, the growth by kind of memory, and a plot of each process."""
    print(f"\n{bot.name}: {bot.pictures:.0f} pictures")
    for process in PROCESSES:
        first = next(values[process] for at, values in bot.samples if at >= warm_up)
        last = bot.samples[-1][1][process]
        figures = {
            "process": process,
            "after_warm_up_mib": round(first / MIB, 1),
            "at_the_end_mib": round(last / MIB, 1),
            "slope_mib_an_hour": round(bot.slope(process, warm_up) * 3600 / MIB, 2),
        }
        print(json.dumps(figures))
        _plot([values[process] for _, values in bot.samples])
    before, after = bot.mappings[0], bot.mappings[-1]
    for kind in sorted(after, key=lambda kind: before[kind] - after[kind]):
        change = (after[kind] - before[kind]) / MIB
        if abs(change) > 0.05:
            print(f"  {kind}: {after[kind] / MIB:.1f} MiB, {change:+.2f} MiB since the warm-up")


def _plot(sizes: Sequence[float]) -> None:
    """Ten rows from the smallest to the largest size; time goes to the right."""
    columns = [float(part.mean()) for part in np.array_split(sizes, min(PLOT_WIDTH, len(sizes)))]
    low, high = min(columns), max(columns)
    step = max((high - low) / 9, 1.0)
    for row in range(9, -1, -1):
        line = "".join("█" if size >= low + row * step else " " for size in columns)
        print(f"  {(low + row * step) / MIB:8.1f} MiB |{line}")


def main() -> None:
    """Parse the arguments, run, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--warm-up", type=float, help="minutes; by default two thirds")
    parser.add_argument("--rate", type=float, default=3.0, help="actions a second for each bot")
    parser.add_argument("--variant", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--no-worker", action="store_true")
    parser.add_argument("--csv", type=Path)
    arguments = parser.parse_args()
    warm_up = arguments.minutes * 2 / 3 if arguments.warm_up is None else arguments.warm_up
    bots = asyncio.run(
        measure(
            arguments.minutes,
            arguments.rate,
            warm_up,
            arguments.variant,
            worker=not arguments.no_worker,
        )
    )
    for bot in bots:
        report(bot, warm_up * 60)
    if arguments.csv:
        with arguments.csv.open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(["bot", "seconds", *PROCESSES])
            for bot in bots:
                for at, values in bot.samples:
                    rows.writerow([bot.name, round(at, 1), *values.values()])


if __name__ == "__main__":
    main()
