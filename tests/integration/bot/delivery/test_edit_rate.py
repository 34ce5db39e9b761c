"""Many users in one channel: the edits that arrive at Discord stay within its rate limit."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bot.delivery import edit_limiter
from bot.delivery.edit_limiter import EDITS, EditRateLimiter
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
            sum(begin <= time < begin + edit_limiter.WINDOW_SECONDS for time in self.times)
            for begin in self.times
        )


def texts_of(running_bot: RunningBot, job: Job) -> list[str]:
    """The different texts that the job's message has shown, in their order, without its id."""
    message = running_bot.discord.discord_state.messages[job.destination.message_id]
    return list(dict.fromkeys(text.replace(f" {job.id}", "") for _, text in message.shown))


@pytest.mark.parametrize(
    ("number", "steps", "window_seconds"),
    [
        # One window of edits is full when the first four jobs end, another when the last ones end.
        pytest.param(8, 15, edit_limiter.WINDOW_SECONDS / 5, id="8 jobs"),
        pytest.param(20, 30, edit_limiter.WINDOW_SECONDS, id="20 jobs", marks=pytest.mark.slow),
    ],
)
async def test_jobs_in_one_channel_are_edited_no_faster_than_discord_allows(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    steps: int,
    window_seconds: float,
) -> None:
    """Each reports 25 steps in a window; four run at a time."""
    monkeypatch.setattr(edit_limiter, "WINDOW_SECONDS", window_seconds)
    permits = Permits()
    permits.record(monkeypatch)
    engine = Engine(steps=(window_seconds / 25,) * steps)
    async with open_running_bot(tmp_path, engine) as running_bot:
        jobs = [await running_bot.ask(100 + n, channel=CHANNEL) for n in range(number)]
        await running_bot.bot.runner.wait_idle()
        times = running_bot.discord.discord_state.edit_times[CHANNEL]
        most = permits.most_in_a_window()
        reported = number * (len(engine.steps) + 1)
        print(
            f"{reported} steps and {number} answers in {times[-1] - times[0]:.0f} s: {len(times)} "
            f"edits, at most {most} in {window_seconds:g} s"
        )
        assert most <= EDITS
        # No edit was made without a permit.
        assert len(times) <= len(permits.times)
        for job in jobs:
            [answer] = running_bot.answers(job)
            assert answer.channel_id == CHANNEL
        # On a busy machine the steps take longer, so that more edits are allowed.
        assert len(times) < reported / 2


async def test_a_message_shows_several_of_its_steps(tmp_path: Path) -> None:
    """One job of one second: its first text leaves room for two of its steps."""
    async with open_running_bot(tmp_path, Engine(steps=(0.1,) * 10)) as running_bot:
        job = await running_bot.ask(100, channel=CHANNEL)
        await running_bot.bot.runner.wait_idle()
        texts = texts_of(running_bot, job)
        steps = [int(text.split()[-1]) for text in texts if text.startswith("running")]
        assert len(steps) >= 2
        assert steps == sorted(steps)
        assert texts[-1] == "answer made"
