"""Twenty users in one channel: the edits that arrive at Discord stay within its rate limit."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.delivery.edit_limiter import EDITS, WINDOW_SECONDS
from tests.support.bots.running_bot import Engine, open_running_bot

JOBS, CHANNEL = 20, 4242
# Edits are counted where they arrive: each takes some milliseconds on the network, and more on a
# shared processor.
JITTER_SECONDS = 0.25


def most_within(times: list[float], seconds: float) -> int:
    """The largest number of them in any window of that length."""
    return max(sum(begin <= time < begin + seconds for time in times) for begin in times)


@pytest.mark.timeout(120)
async def test_twenty_jobs_in_one_channel_are_edited_no_faster_than_discord_allows(
    tmp_path: Path,
) -> None:
    """Each reports a step every fifth of a second for six seconds; four run at a time."""
    engine = Engine(steps=(0.2,) * 30)
    async with open_running_bot(tmp_path, engine) as running_bot:
        jobs = [await running_bot.ask(100 + n, channel=CHANNEL) for n in range(JOBS)]
        await running_bot.bot.runner.wait_idle()
        times = running_bot.discord.discord_state.edit_times[CHANNEL]
        most = most_within(times, WINDOW_SECONDS - JITTER_SECONDS)
        reported = JOBS * (len(engine.steps) + 1)
        print(
            f"{reported} steps and {JOBS} answers in {times[-1] - times[0]:.0f} s: {len(times)} "
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
