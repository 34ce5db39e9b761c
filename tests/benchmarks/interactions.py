"""Measures acknowledgement latency and event-loop lag under many interactions and a busy worker.

    python -m tests.benchmarks.interactions --interactions 10000 --rate 50

The whole bot (`bot.cli.run`, every cog, the picture sandbox, a worker process with a small real
pipeline) is a separate process; the fake Discord sends it `/img2img` with a picture.
Prints one line of JSON; all times in milliseconds. The measurement ends with the last
acknowledgement.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import json
import logging
import multiprocessing
import tempfile
import time
from collections.abc import Callable
from multiprocessing.context import ForkServerContext, SpawnContext
from pathlib import Path

from PIL import Image

from bot.cli.run import run_bot
from bot.config import Settings
from tests.support.bots.crash_campaign import death
from tests.support.bots.minimal_bot import point_discord_py_at
from tests.support.fake_discord.objects import Interaction, Message
from tests.support.fake_discord.server import FakeDiscord, fake_discord
from tests.support.fake_discord.state import DiscordState

SPAWN = multiprocessing.get_context("spawn")
BOT = 1001
BURST = 10
LAG_SECONDS = 0.01
# Discord's limit for the first answer to an interaction.
# https://discord.com/developers/docs/interactions/receiving-and-responding
ACKNOWLEDGE_SECONDS = 3.0


def percentile(values: list[float], share: float) -> float:
    """The value that the given share of the values does not exceed."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def serve(port: int, folder: str) -> None:
    """The bot process. Writes the lag of its event loop to `lag.json`."""
    logging.disable(logging.CRITICAL)
    point_discord_py_at(port)
    settings = Settings(
        _env_file=None,
        discord_token=f"token-of-{BOT}",
        data_dir=Path(folder) / "data",
        model="noise",
        # The image check refuses the generated source.
        moderation=False,
        queue_limit=50,
    )
    late: list[float] = []

    async def main() -> None:
        meter = asyncio.create_task(measure_lag(late))
        await run_bot(settings)
        meter.cancel()

    asyncio.run(main())
    (Path(folder) / "lag.json").write_text(json.dumps(late))


async def measure_lag(late: list[float]) -> None:
    """Append how much longer than asked each short sleep takes, in seconds."""
    while True:
        asked = time.perf_counter()
        await asyncio.sleep(LAG_SECONDS)
        late.append(time.perf_counter() - asked - LAG_SECONDS)


async def send_interactions(discord: FakeDiscord, interactions: int, rate: float) -> None:
    """Send interactions of different users, `rate` a second, in bursts of ten."""
    out = io.BytesIO()
    Image.linear_gradient("L").convert("RGB").save(out, "PNG")
    began = time.perf_counter()
    for number in range(interactions):
        if number % BURST == 0:
            await asyncio.sleep(max(0.0, began + number / rate - time.perf_counter()))
        await discord.command(
            BOT,
            1_000_000 + number,
            2_000_000 + number,
            "img2img",
            prompt="a harbour",
            image=out.getvalue(),
        )


async def measure(
    interactions: int,
    rate: float,
    *,
    context: SpawnContext | ForkServerContext = SPAWN,
    serve: Callable[[int, str], None] = serve,
) -> dict[str, float]:
    """Run the benchmark and return its figures. `context` starts the bot; a test forks it."""
    with tempfile.TemporaryDirectory() as folder:
        async with fake_discord(DiscordState()) as discord:
            process = context.Process(target=serve, args=(discord.port, folder))
            process.start()
            ended = death(process)
            try:
                work = asyncio.create_task(_measure(discord, interactions, rate))
                # Without a bot there is nothing to measure.
                ended.add_done_callback(lambda _: work.cancel())
                asked = await work
            finally:
                process.terminate()
                await ended
                process.join()
        late = json.loads((Path(folder) / "lag.json").read_text())
    times = [one.acknowledged_after for one in asked if one.acknowledged_after is not None]
    return {
        "interactions": len(asked),
        "acknowledged": len(times),
        "answers_meanwhile": len(_answers(discord)),
        "acknowledged_p50_ms": round(percentile(times, 0.5) * 1000, 1),
        "acknowledged_p99_ms": round(percentile(times, 0.99) * 1000, 1),
        "acknowledged_max_ms": round(max(times) * 1000, 1),
        "loop_lag_p50_ms": round(percentile(late, 0.5) * 1000, 1),
        "loop_lag_p99_ms": round(percentile(late, 0.99) * 1000, 1),
    }


async def _measure(discord: FakeDiscord, interactions: int, rate: float) -> list[Interaction]:
    async with asyncio.timeout(180):
        await discord.gateway.wait_ready(BOT)
        # The worker loads its model until these are answered; that is not measured.
        await send_interactions(discord, 4, rate)
        while len(_answers(discord)) < 4:
            discord.discord_state.changed.clear()
            await discord.discord_state.changed.wait()
    discord.discord_state.interactions.clear()
    await send_interactions(discord, interactions, rate)
    asked = list(discord.discord_state.interactions.values())
    # An interaction that is not acknowledged by then never is.
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(ACKNOWLEDGE_SECONDS):
            while any(one.acknowledged_after is None for one in asked):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
    return asked


def _answers(discord: FakeDiscord) -> list[Message]:
    messages = discord.discord_state.messages.values()
    return [m for m in messages if any(name.startswith("redraw-") for name in m.files)]


def main() -> None:
    """Parse the arguments and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--interactions", type=int, default=10_000)
    parser.add_argument("--rate", type=float, default=50.0, help="a second")
    arguments = parser.parse_args()
    print(json.dumps(asyncio.run(measure(arguments.interactions, arguments.rate))))


if __name__ == "__main__":
    main()
