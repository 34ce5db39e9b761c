"""Many users in one channel: the edits that arrive at Discord stay within its rate limit."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bot.delivery.edit_limiter import EDITS, WINDOW_SECONDS, EditRateLimiter
from bot.jobs.job import Job
from tests.support.bots.running_bot import Engine, RunningBot, open_running_bot

CHANNEL = 4242


@dataclass
class Permits:
    """The times at which the limiter of edits permitted one. An edit may arrive at any time after
    its permit, so that how busy the machine is does not matter."""

    times: list[float] = field(default_factory=list)

    def record(self, patch: pytest.MonkeyPatch) -> None:
        """Record each permit from now on."""
        for name in ("acquire_for_progress", "acquire_for_answer"):
            patch.setattr(EditRateLimiter, name, self._recorded(getattr(EditRateLimiter, name)))

    def _recorded(self, acquire: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
        async def recorded(limiter: EditRateLimiter, channel_id: int) -> None:
            await acquire(limiter, channel_id)
            self.times.append(limiter._channels[channel_id].sent[-1])

        return recorded

    def most_in_a_window(self) -> int:
        """The largest number of permits in any window."""
        return max(
            sum(begin <= time < begin + WINDOW_SECONDS for time in self.times)
            for begin in self.times
        )


def texts_of(running_bot: RunningBot, job: Job, kind: str) -> list[str]:
    """The different texts of that kind that the job's message has shown, in their order."""
    message = running_bot.discord.discord_state.messages[job.destination.message_id]
    return list(dict.fromkeys(text for _, text in message.shown if text.startswith(kind)))


@pytest.mark.parametrize(
    ("number", "steps"),
    [
        # One window of edits is full when the first four jobs end, another when the last ones end.
        pytest.param(8, 15, id="8 jobs"),
        pytest.param(20, 30, id="20 jobs", marks=pytest.mark.slow),
    ],
)
async def test_jobs_in_one_channel_are_edited_no_faster_than_discord_allows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, steps: int
) -> None:
    """Each reports a step every fifth of a second; four run at a time."""
    permits = Permits()
    permits.record(monkeypatch)
    engine = Engine(steps=(0.2,) * steps)
    async with open_running_bot(tmp_path, engine) as running_bot:
        jobs = [await running_bot.ask(100 + n, channel=CHANNEL) for n in range(number)]
        await running_bot.bot.runner.wait_idle()
        times = running_bot.discord.discord_state.edit_times[CHANNEL]
        most = permits.most_in_a_window()
        reported = number * (len(engine.steps) + 1)
        print(
            f"{reported} steps and {number} answers in {times[-1] - times[0]:.0f} s: {len(times)} "
            f"edits, at most {most} in {WINDOW_SECONDS:g} s"
        )
        assert most <= EDITS
        # No edit was made without a permit.
        assert len(times) <= len(permits.times)
        for job in jobs:
            [answer] = running_bot.answers(job)
            assert answer.channel_id == CHANNEL
        # The limit left room for more than the first text of each message: a job showed several of
        # its steps, and one that waited for more than one other showed that it moved up.
        assert max(len(texts_of(running_bot, job, "running")) for job in jobs) >= 2
        assert max(len(texts_of(running_bot, job, "queued")) for job in jobs) >= 2
        assert len(times) < reported / 5
