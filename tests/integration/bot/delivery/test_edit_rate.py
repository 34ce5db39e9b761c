"""Many users in one channel: the edits that arrive at Discord stay within its rate limit."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.delivery.edit_limiter import EDITS, WINDOW_SECONDS
from tests.support.bots.running_bot import Engine, open_running_bot

CHANNEL = 4242
# Edits are counted where they arrive: each takes some milliseconds on the network, and more on a
# shared processor.
JITTER_SECONDS = 0.25


def most_within(times: list[float], seconds: float) -> int:
    """The largest number of them in any window of that length."""
    return max(sum(begin <= time < begin + seconds for time in times) for begin in times)


@pytest.mark.parametrize(
    ("number", "steps"),
    [
        # One window of edits is full when the first four jobs end, another when the last ones end.
        pytest.param(8, 15, id="8 jobs"),
        pytest.param(20, 30, id="20 jobs", marks=pytest.mark.slow),
    ],
)
async def test_jobs_in_one_channel_are_edited_no_faster_than_discord_allows(
    tmp_path: Path, number: int, steps: int
) -> None:
    """Each reports a step every fifth of a second; four run at a time."""
    engine = Engine(steps=(0.2,) * steps)
    async with open_running_bot(tmp_path, engine) as running_bot:
        jobs = [await running_bot.ask(100 + n, channel=CHANNEL) for n in range(number)]
        await running_bot.bot.runner.wait_idle()
        times = running_bot.discord.discord_state.edit_times[CHANNEL]
        most = most_within(times, WINDOW_SECONDS - JITTER_SECONDS)
        reported = number * (len(engine.steps) + 1)
        print(
            f"{reported} steps and {number} answers in {times[-1] - times[0]:.0f} s: {len(times)} "
            f"edits, at most {most} in {WINDOW_SECONDS:g} s"
        )
        assert most <= EDITS
        for job in jobs:
            [answer] = running_bot.answers(job)
            assert answer.channel_id == CHANNEL
        # Queue positions and progress were shown meanwhile.
        shown = [
            text for m in running_bot.discord.discord_state.messages.values() for _, text in m.shown
        ]
        assert sum(text.startswith(("queued", "running")) for text in shown) >= 5
        assert any(text.startswith("queued") for text in shown)
        assert any(text.startswith("running") for text in shown)
        assert len(times) < reported / 5
