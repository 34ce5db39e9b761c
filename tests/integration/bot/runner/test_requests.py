"""Which requests are accepted, in which order they run, and what is given back at their end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bot.errors import Stopping
from bot.jobs.admission import QueueFull
from bot.jobs.budgets import Allowance, BudgetSpent, BudgetTooSmall
from bot.jobs.job import JobState
from bot.runner import demand
from bot.runner.acceptance import Paused
from inference import (
    ImageRequest,
    ImageResult,
    ModelState,
    ModelStatus,
    OutOfMemory,
    Progress,
)
from tests.support.bots.running_bot import READY, Engine, open_running_bot
from tests.support.fake_discord.state import DiscordState


@dataclass
class TimedEngine(Engine):
    """Each picture takes ten seconds of the device, one of the model `slow` a hundred."""

    async def generate(
        self, request: ImageRequest, on_progress: Callable[[Progress], None] | None = None
    ) -> ImageResult:
        result = await super().generate(request, on_progress)
        device = 100.0 if request.model == "slow" else 10.0
        return replace(result, timings=replace(result.timings, device=device))


async def test_a_budget_is_spent_until_midnight_in_utc(tmp_path: Path) -> None:
    state = DiscordState()
    tomorrow = datetime.fromtimestamp(state.now(), UTC) + timedelta(days=1)
    midnight = tomorrow.replace(hour=0, minute=0, second=0, microsecond=0).timestamp() + 86_400
    # The bot's clock is a day and some minutes ahead of this machine's.
    state.offset = midnight - 300 - state.now()
    allowance = Allowance(user=25.0)
    async with open_running_bot(tmp_path, TimedEngine(), state) as running_bot:
        runner = running_bot.bot.runner
        for _ in range(2):
            await runner.accept(await running_bot.job(1), allowance=allowance)
            await running_bot.idle()
        with pytest.raises(BudgetTooSmall):
            await runner.accept(await running_bot.job(1), allowance=allowance)
        with pytest.raises(BudgetSpent, match=f"<t:{int(midnight)}:R>"):
            await runner.accept(await running_bot.job(1), allowance=Allowance(user=20.0))
        # Another user's budget is their own.
        await runner.accept(await running_bot.job(2), allowance=allowance)
        state.offset += 301
        await runner.accept(await running_bot.job(1), allowance=allowance)
        await running_bot.idle()
        assert (await runner.accounting.spent(1, 7)).user == pytest.approx(10.0)


async def test_a_budget_without_a_rest_refuses_before_the_source_is_fetched(
    tmp_path: Path,
) -> None:
    async with open_running_bot(tmp_path, TimedEngine()) as running_bot:
        await running_bot.ask(1)
        await running_bot.idle()
        check_left = running_bot.bot.runner.accounting.check_left
        await check_left(1, 7, Allowance(user=10.5))
        with pytest.raises(BudgetSpent):
            await check_left(1, 7, Allowance(user=10.0))


async def test_a_pause_survives_a_restart_and_ends_with_resume(tmp_path: Path) -> None:
    state = DiscordState()
    async with open_running_bot(tmp_path, Engine(), state) as running_bot:
        running_bot.engine.gate.clear()
        accepted = await running_bot.ask(1)
        await running_bot.bot.runner.acceptance.pause("a new graphics card")
        running_bot.engine.gate.set()
        await running_bot.idle()
        # What was accepted continues.
        assert (await running_bot.state(accepted)).state is JobState.DELIVERED
    async with open_running_bot(tmp_path, Engine(), state) as running_bot:
        with pytest.raises(Paused, match="at the moment: a new graphics card"):
            await running_bot.ask(1)
        acceptance = running_bot.bot.runner.acceptance
        await acceptance.resume()
        await running_bot.ask(1)
        acceptance.draining = True
        with pytest.raises(Stopping):
            await running_bot.ask(1)
    async with open_running_bot(tmp_path, Engine(), state) as running_bot:
        await running_bot.ask(1)
        await running_bot.idle()


async def test_a_place_is_free_once_its_job_waits_and_the_job_takes_it(tmp_path: Path) -> None:
    engine = Engine()
    engine.status = replace(READY, slots=1)
    async with open_running_bot(tmp_path, engine, limit=1) as running_bot:
        runner = running_bot.bot.runner
        engine.gate.clear()
        await running_bot.ask(1)
        await engine.until(lambda: len(engine.inside) == 1)
        async with runner.reserve(2, 1) as reservation:
            with pytest.raises(QueueFull):
                await running_bot.ask(3)
            waiting = await running_bot.job(2)
            await runner.accept(waiting, reservation)
            with pytest.raises(QueueFull):
                await running_bot.ask(3)
            assert await runner.cancel(waiting.id)
            # Neither the place nor the cancelled job counts any more.
            assert runner.positions() == {}
            await running_bot.ask(3)
        engine.gate.set()
        await running_bot.idle()
        assert len(engine.begun) == 2


async def test_positions_are_shown_again_as_the_queue_moves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(replace(READY, slots=1))
    ended: set[str] = set()
    engine.may_end = lambda id_: id_ in ended
    async with open_running_bot(tmp_path, engine) as running_bot:
        shown: list[tuple[str, int]] = []
        monkeypatch.setattr(
            running_bot.bot.delivery,
            "show_queued",
            lambda job, position: shown.append((job.id, position.ahead)),
        )
        running, second, third = [(await running_bot.ask(user)).id for user in (1, 2, 3)]
        await engine.until(lambda: len(engine.inside) == 1)
        assert shown[-2:] == [(second, 0), (third, 1)]
        shown.clear()
        ended.add(f"{running}-0-1")
        await engine.tell()
        await engine.until(lambda: f"{second}-0-1" in engine.inside)
        engine.may_end = lambda _: True
        await engine.tell()
        await running_bot.idle()
        assert shown == [(third, 0)]


async def test_slots_of_variants_that_never_began_are_given_back(tmp_path: Path) -> None:
    engine = Engine()
    engine.status = replace(READY, slots=2)
    async with open_running_bot(tmp_path, engine) as running_bot:
        job = await running_bot.job(1, pictures=4)
        engine.errors = {f"{job.id}-0": OutOfMemory("It does not fit.")}
        engine.gate.clear()
        await running_bot.bot.runner.accept(job)
        await engine.until(lambda: len(engine.inside) == 2)
        engine.gate.set()
        await running_bot.idle()
        assert (await running_bot.state(job)).state is JobState.FAILED
        assert f"{job.id}-3-1" not in engine.begun
        # Both slots are free: two of the next user's pictures run at once.
        engine.gate.clear()
        await running_bot.ask(2, pictures=2)
        async with asyncio.timeout(60):
            await engine.until(lambda: len(engine.inside) == 2)
        engine.gate.set()
        await running_bot.idle()


async def test_the_work_of_a_slow_model_counts_as_much_as_it_takes(tmp_path: Path) -> None:
    models = tuple(
        ModelStatus(name=name, state=ModelState.LOADED, serve_seconds=80.0)
        for name in ("fast", "slow")
    )
    engine = TimedEngine(replace(READY, slots=1, models=models))
    async with open_running_bot(tmp_path, engine) as running_bot:
        runner = running_bot.bot.runner
        names: dict[str, str] = {}

        async def ask(user: int, model: str, number: int) -> None:
            job = replace(await running_bot.job(user), model=model)
            names[job.id] = f"{model} {number}"
            await runner.accept(job)

        for model in ("fast", "slow"):
            await ask(1, model, 0)
        await running_bot.idle()
        engine.gate.clear()
        for model in ("fast", "slow"):
            await ask(1, model, 1)
        await engine.until(lambda: len(engine.inside) == 2)
        for number in range(2, 5):
            await ask(2, "slow", number)
            await ask(3, "fast", number)
        # A slow picture costs as much as ten fast ones.
        assert [names[job.id] for job in runner.queue.order()] == [
            "slow 2",
            *("fast 2", "fast 3", "fast 4"),
            *("slow 3", "slow 4"),
        ]
        engine.gate.set()
        await running_bot.idle()


async def test_the_service_learns_how_long_the_oldest_job_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demand, "REPORT_SECONDS", 0.01)
    state, engine = DiscordState(), Engine(replace(READY, slots=1))
    engine.gate.clear()
    async with open_running_bot(tmp_path, engine, state) as running_bot:
        await running_bot.ask(1)
        await running_bot.ask(2)
        await engine.until(lambda: len(engine.inside) == 1)
        state.offset += 70.0
        async with asyncio.timeout(60):
            while not 70.0 <= (engine.oldest_wait or 0.0) < 130.0:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        engine.gate.set()
        await running_bot.idle()
