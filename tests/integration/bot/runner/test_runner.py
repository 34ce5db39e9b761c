"""The runner: order, slots, attempts, cancelling, stopping, erasure.

Longer than 300 lines: the runner's promises share one fixture.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Coroutine
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bot.errors import ModelFailed, StoredPictureMissing, UserError
from bot.jobs.admission import ErasedMeanwhile, QueueFull
from bot.jobs.job import JobState
from bot.runner import runner as module
from bot.store.store import Store
from inference import (
    DeadlineExceeded,
    InferenceError,
    ModelUnavailable,
    NonFiniteOutput,
    OutOfMemory,
    ServiceState,
    ServiceStatus,
    WorkerDied,
)
from inference.worker.supervisor import STOP_SECONDS
from tests.support.bots.minimal_bot import square
from tests.support.bots.running_bot import READY, Engine, RunningBot, open_running_bot
from tests.support.fake_discord.state import DiscordState


@pytest.fixture
async def running_bot(tmp_path: Path) -> AsyncIterator[RunningBot]:
    async with open_running_bot(tmp_path) as opened:
        yield opened


async def test_ten_users_behind_one_with_many_jobs_wait_at_most_two_rounds(
    running_bot: RunningBot,
) -> None:
    running_bot.engine.gate.clear()
    owner = {}
    for _ in range(40):
        owner[(await running_bot.ask(0)).id] = 0
    for user in range(1, 11):
        owner[(await running_bot.ask(user)).id] = user
    running_bot.engine.gate.set()
    await running_bot.idle()
    order = [owner[request.split("-")[0]] for request in running_bot.engine.begun]
    last = max(order.index(user) for user in range(1, 11))
    # What the engine had started already, and two rounds of eleven users.
    assert last < running_bot.engine.status.slots + 2 * 11
    assert len(order) == 50


async def test_the_engine_gets_as_many_requests_as_its_batch_holds(
    running_bot: RunningBot,
) -> None:
    running_bot.engine.gate.clear()
    for user in range(10):
        await running_bot.ask(user)
    await running_bot.engine.until(lambda: len(running_bot.engine.inside) == 4)
    running_bot.engine.gate.set()
    await running_bot.idle()
    assert running_bot.engine.most_inside == 4
    assert len(running_bot.engine.begun) == 10


async def test_a_finished_variant_frees_its_slot_for_the_next_user(
    running_bot: RunningBot,
) -> None:
    engine = running_bot.engine
    engine.status = replace(engine.status, slots=2)
    engine.may_end = lambda id_: False
    four = await running_bot.ask(1, pictures=4)
    other = await running_bot.ask(2)
    await engine.until(lambda: len(engine.inside) == 2)
    done: set[str] = set()

    def begun(number: int) -> bool:
        return len(engine.begun) == number

    engine.may_end = lambda id_: id_ in done
    for number in range(3):
        done.add(f"{four.id}-{number}-1")
        await engine.tell()
        await engine.until(partial(begun, 3 + number))
    # Three of the four are finished, the fourth is not: the other user's runs beside it.
    assert engine.inside == {f"{four.id}-3-1", f"{other.id}-0-1"}
    engine.may_end = lambda _: True
    await engine.tell()
    await running_bot.idle()
    assert engine.most_inside == 2


async def test_a_batch_that_grows_is_filled(tmp_path: Path) -> None:
    engine = Engine(ServiceStatus(state=ServiceState.LOADING, detail="loading", slots=1))
    engine.may_end = lambda _: False
    async with open_running_bot(tmp_path, engine) as running_bot:
        first = await running_bot.ask(0)
        for user in range(1, 6):
            await running_bot.ask(user)
        await engine.until(lambda: len(engine.inside) == 1)
        engine.status = READY
        engine.may_end = lambda id_: id_.startswith(first.id)
        await engine.tell()
        await engine.until(lambda: len(engine.inside) == 4)
        engine.may_end = lambda _: True
        await engine.tell()
        await running_bot.idle()
        assert engine.most_inside == 4


async def test_a_worker_that_dies_once_costs_one_more_attempt(running_bot: RunningBot) -> None:
    job, engine = await running_bot.job(1, pictures=4), running_bot.engine
    dying = f"{job.id}-2-1"
    engine.errors = {dying: WorkerDied("It died.")}
    engine.may_end = lambda id_: id_ != dying
    await running_bot.bot.runner.accept(job)
    await engine.until(lambda: len(engine.begun) == 4 and engine.inside == {dying})
    # Three pictures are made. They are stored before the worker dies.
    while sum(v.result is not None for v in (await running_bot.state(job)).variants) < 3:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    engine.may_end = lambda _: True
    await engine.tell()
    await running_bot.idle()
    after = await running_bot.state(job)
    assert (after.state, after.attempts) == (JobState.DELIVERED, 1)
    first = [f"{job.id}-{number}-1" for number in range(4)]
    assert sorted(engine.begun) == sorted([*first, f"{job.id}-2-2"]), "nothing is made twice"
    assert len(running_bot.answers(job)) == 1


async def test_a_worker_that_dies_twice_ends_in_a_sentence(running_bot: RunningBot) -> None:
    job, other = await running_bot.job(1), await running_bot.job(2)
    running_bot.engine.errors = {job.id: WorkerDied("It died.")}
    await running_bot.bot.runner.accept(job)
    await running_bot.bot.runner.accept(other)
    await running_bot.idle()
    assert len(running_bot.engine.begun) == 3
    [answer] = running_bot.answers(job)
    assert "stopped working on this picture twice" in answer.text
    assert (await running_bot.state(other)).state is JobState.DELIVERED


async def test_a_users_requests_are_prepared_one_at_a_time(running_bot: RunningBot) -> None:
    runner = running_bot.bot.runner
    preparing: list[int] = []
    gate = asyncio.Event()

    async def prepare(user: int) -> None:
        async with runner.reserve(user, 1):
            assert user not in preparing
            preparing.append(user)
            if len(preparing) == 2:
                # Requests of two users are prepared together.
                gate.set()
            await gate.wait()
            # The others of the user could begin here.
            for _ in range(10):
                await asyncio.sleep(0)
            preparing.remove(user)

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        for user in (1, 1, 1, 2):
            group.create_task(prepare(user))


async def test_a_request_under_way_is_not_accepted_after_the_erasure_of_its_user(
    running_bot: RunningBot,
) -> None:
    runner, store = running_bot.bot.runner, running_bot.bot.store
    async with runner.reserve(1, 1) as reservation:
        job = await running_bot.job(1)
        await runner.erase(1)
        with pytest.raises(ErasedMeanwhile):
            await runner.accept(job, reservation)
    assert await store.jobs_of(1) == []
    with pytest.raises(StoredPictureMissing):
        await store.pictures.get(job.sources[0])


async def test_whatever_ends_an_acceptance_the_source_is_deleted(running_bot: RunningBot) -> None:
    runner, store = running_bot.bot.runner, running_bot.bot.store
    job = await running_bot.job(1)
    await runner.accept(job)
    source = await store.pictures.put(square(77))
    # An id that exists already is a bug, not an error with a sentence.
    with pytest.raises(sqlite3.IntegrityError):
        await runner.accept(replace(job, source=source))
    with pytest.raises(StoredPictureMissing):
        await store.pictures.get(source)
    await running_bot.idle()
    assert await store.pictures.get(job.sources[0])


async def test_kills_of_the_bot_use_up_no_attempt(tmp_path: Path) -> None:
    discord_state = DiscordState()
    async with open_running_bot(tmp_path, Engine(), discord_state) as running_bot:
        job = await running_bot.job(1)
    async with Store.open(tmp_path) as store:
        source = await store.pictures.put(square(1))
        await store.accept(replace(job, source=source))
        for moment in range(3):
            await store.start(job.id, float(moment))
    async with open_running_bot(tmp_path, Engine(), discord_state) as running_bot:
        await running_bot.idle()
        assert (await running_bot.state(job)).state is JobState.DELIVERED


async def test_a_run_that_is_cancelled_before_its_first_step_frees_its_slot(
    running_bot: RunningBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, runner = running_bot.engine, running_bot.bot.runner
    engine.status = replace(engine.status, slots=1)
    spawn = runner._tasks.spawn

    def spawn_and_cancel(
        work: Coroutine[Any, Any, None], name: str, clean_up: Any = None, **options: str
    ) -> asyncio.Task[None]:
        task = spawn(work, name, clean_up, **options)
        if name.startswith("job"):
            task.cancel()
            monkeypatch.undo()
        return task

    monkeypatch.setattr(runner._tasks, "spawn", spawn_and_cancel)
    first = await running_bot.ask(1)
    await running_bot.idle()
    assert engine.begun == []
    assert await runner.cancel(first.id)
    other = await running_bot.ask(2)
    await running_bot.idle()
    assert (await running_bot.state(other)).state is JobState.DELIVERED
    assert len(running_bot.answers(first)) == 1


@pytest.mark.parametrize(
    ("error", "locale", "sentence"),
    [
        (OutOfMemory("It does not fit."), "en-GB", "too large for the device's memory"),
        (OutOfMemory("It does not fit."), "de", "zu groß für den Speicher"),
        (NonFiniteOutput("No picture."), "fr", "Essayez une autre graine"),
        (DeadlineExceeded("Too late."), "es-ES", "esperó demasiado"),
        (InferenceError("A driver said xyz."), "ja", "問題が起きました"),
    ],
)
async def test_an_error_of_the_engine_is_a_sentence_in_the_users_language(
    running_bot: RunningBot, error: InferenceError, locale: str, sentence: str
) -> None:
    job = replace(await running_bot.job(1), locale=locale)
    running_bot.engine.errors = {job.id: error}
    await running_bot.bot.runner.accept(job)
    await running_bot.idle()
    [answer] = running_bot.answers(job)
    assert sentence in answer.text
    assert str(error) not in answer.text


async def test_a_bug_is_a_sentence_for_the_user_and_a_traceback_in_the_log(
    running_bot: RunningBot, caplog: pytest.LogCaptureFixture
) -> None:
    job = await running_bot.job(1)
    running_bot.engine.errors = {job.id: ZeroDivisionError("a bug")}  # type: ignore[dict-item]
    await running_bot.bot.runner.accept(job)
    await running_bot.idle()
    [answer] = running_bot.answers(job)
    assert "An error occurred" in answer.text
    assert "a bug" not in answer.text
    assert "a bug" in caplog.text


async def test_when_the_model_fails_jobs_are_kept_and_new_ones_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    discord_state = DiscordState()
    engine = Engine()
    async with open_running_bot(tmp_path, engine, discord_state) as running_bot:
        jobs = [await running_bot.job(user) for user in range(6)]
        engine.errors = {job.id: ModelUnavailable("It died three times.") for job in jobs}
        engine.gate.clear()
        for job in jobs:
            await running_bot.bot.runner.accept(job)
        engine.status = replace(
            engine.status, state=ServiceState.FAILED, detail="It died three times."
        )
        engine.gate.set()
        with pytest.raises(ModelFailed, match="failed to start"):
            await running_bot.bot.runner.accept(await running_bot.job(9))
        await engine.until(lambda: not engine.inside)
    logged = {record.getMessage() for record in caplog.records}
    assert "the model takes no more requests: It died three times." in logged
    async with open_running_bot(tmp_path, Engine(), discord_state) as running_bot:
        await running_bot.idle()
        for job in jobs:
            after = await running_bot.state(job)
            assert (after.state, after.attempts) == (JobState.DELIVERED, 0)


@pytest.mark.parametrize("running", [False, True])
async def test_cancelling_is_answered_once_and_frees_the_engine(
    running_bot: RunningBot, running: bool
) -> None:
    running_bot.engine.gate.clear()
    busy = [await running_bot.ask(user) for user in range(4)]
    await running_bot.engine.until(lambda: len(running_bot.engine.inside) == 4)
    job = busy[0] if running else await running_bot.ask(9)
    assert await running_bot.bot.runner.cancel(job.id)
    assert not await running_bot.bot.runner.cancel(job.id)
    running_bot.engine.gate.set()
    await running_bot.idle()
    assert not await running_bot.bot.runner.cancel(busy[1].id)
    [answer] = running_bot.answers(job)
    assert f"answer cancelled {job.id}" in answer.text
    assert running_bot.engine.cancelled == ([f"{job.id}-0-1"] if running else [])
    assert (await running_bot.state(busy[1])).state is JobState.DELIVERED


async def test_stopping_keeps_running_and_waiting_jobs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Stopping may take ten seconds, of which the model's process has five.
    assert module.GRACE_SECONDS + STOP_SECONDS <= 10
    monkeypatch.setattr(module, "GRACE_SECONDS", 0.0)
    discord_state = DiscordState()
    async with open_running_bot(tmp_path, Engine(), discord_state) as running_bot:
        running_bot.engine.gate.clear()
        jobs = [await running_bot.ask(user) for user in range(6)]
        await running_bot.engine.until(lambda: len(running_bot.engine.inside) == 4)
    # They would never end by themselves.
    assert sorted(running_bot.engine.cancelled) == sorted(f"{job.id}-0-1" for job in jobs[:4])
    engine = Engine()
    engine.gate.clear()
    async with open_running_bot(tmp_path, engine, discord_state) as running_bot:
        # Their attempts do not count, and their order is unchanged. Jobs that start together reach
        # the engine in the order in which their sources were read.
        await engine.until(lambda: len(engine.inside) == 4)
        assert engine.inside == {f"{job.id}-0-1" for job in jobs[:4]}
        assert [job.id for job in running_bot.bot.runner.queue.order()] == [
            job.id for job in jobs[4:]
        ]
        engine.gate.set()
        await running_bot.idle()
        assert all([(await running_bot.state(job)).state is JobState.DELIVERED for job in jobs])
        assert all(len(running_bot.answers(job)) == 1 for job in jobs)


async def test_a_job_that_is_nearly_finished_at_the_stop_is_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A busy machine may take longer than the three seconds to store and send the answer.
    monkeypatch.setattr(module, "GRACE_SECONDS", 60.0)
    async with open_running_bot(tmp_path) as running_bot:
        running_bot.engine.gate.clear()
        job = await running_bot.ask(1)
        await running_bot.engine.until(lambda: len(running_bot.engine.inside) == 1)
        asyncio.get_running_loop().call_later(0.3, running_bot.engine.gate.set)
    assert len(running_bot.answers(job)) == 1


async def test_requests_at_the_same_moment_do_not_exceed_the_limit(tmp_path: Path) -> None:
    async with open_running_bot(tmp_path, limit=5) as running_bot:
        running_bot.engine.gate.clear()
        busy = [await running_bot.ask(user) for user in range(4)]
        await running_bot.engine.until(lambda: len(running_bot.engine.inside) == 4)
        jobs = [await running_bot.job(10 + n) for n in range(20)]
        outcomes = await asyncio.gather(
            *(running_bot.bot.runner.accept(job) for job in jobs), return_exceptions=True
        )
        refused = [outcome for outcome in outcomes if isinstance(outcome, UserError)]
        assert len(refused) == 15
        assert all(isinstance(outcome, QueueFull) for outcome in refused)
        for job, outcome in zip(jobs, outcomes, strict=True):
            kept = await running_bot.bot.store.job(job.id)
            assert (kept is None) is isinstance(outcome, UserError)
            if kept is None:
                with pytest.raises(StoredPictureMissing):
                    await running_bot.bot.store.pictures.get(job.sources[0])
        running_bot.engine.gate.set()
        await running_bot.idle()
        assert len(running_bot.engine.begun) == 5 + len(busy)


async def test_an_erased_users_jobs_end_and_nothing_of_them_is_kept(
    running_bot: RunningBot,
) -> None:
    running_bot.engine.gate.clear()
    mine = [await running_bot.ask(1) for _ in range(6)]
    other = await running_bot.ask(2)
    await running_bot.engine.until(lambda: len(running_bot.engine.inside) == 4)
    assert await running_bot.bot.runner.erase(1) == 6
    running_bot.engine.gate.set()
    await running_bot.idle()
    assert await running_bot.bot.store.jobs_of(1) == []
    for job in mine:
        [answer] = running_bot.answers(job)
        assert "cancelled" in answer.text
        with pytest.raises(StoredPictureMissing):
            await running_bot.bot.store.pictures.get(job.sources[0])
    assert (await running_bot.state(other)).state is JobState.DELIVERED
    assert sum(jobs for jobs, _ in (await running_bot.bot.store.ledger.tally()).values()) == 6
