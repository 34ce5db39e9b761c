"""From accepted to answered: order, slots, attempts, cancelling, stopping, forgetting."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from bot.errors import PersonError
from bot.jobs.job import JobState
from bot.jobs.pictures import PictureLost
from bot.jobs.queue import QueueFull
from bot.jobs.runner import ModelGone
from inference import (
    DeadlineExceeded,
    InferenceError,
    ModelUnavailable,
    NotANumber,
    OutOfMemory,
    ServiceState,
    ServiceStatus,
    WorkerDied,
)
from tests.fakediscord.office import READY, Engine, Office, open_office
from tests.fakediscord.world import World


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    async with open_office(tmp_path) as opened:
        yield opened


async def test_ten_people_behind_one_with_many_jobs_wait_two_rounds(office: Office) -> None:
    office.engine.gate.clear()
    owner = {}
    for _ in range(40):
        owner[(await office.ask(0)).id] = 0
    for person in range(1, 11):
        owner[(await office.ask(person)).id] = person
    office.engine.gate.set()
    await office.idle()
    order = [owner[request.split("-")[0]] for request in office.engine.begun]
    last = max(order.index(person) for person in range(1, 11))
    # What the engine had begun already, and two rounds of eleven people.
    assert last < office.engine.status.slots + 2 * 11
    assert len(order) == 50


async def test_the_engine_gets_as_much_as_its_batch_holds_and_no_more(office: Office) -> None:
    office.engine.gate.clear()
    for person in range(10):
        await office.ask(person)
    await office.engine.until(lambda: len(office.engine.inside) == 4)
    office.engine.gate.set()
    await office.idle()
    assert office.engine.most_inside == 4
    assert len(office.engine.begun) == 10


async def test_a_picture_that_is_done_makes_room_for_the_next_person(office: Office) -> None:
    engine = office.engine
    engine.status = replace(engine.status, slots=2)
    engine.may_end = lambda id_: False
    four = await office.ask(1, pictures=4)
    other = await office.ask(2)
    await engine.until(lambda: len(engine.inside) == 2)
    done: set[str] = set()

    def begun(number: int) -> bool:
        return len(engine.begun) == number

    engine.may_end = lambda id_: id_ in done
    for number in range(3):
        done.add(f"{four.id}-{number}-1")
        await engine.tell()
        await engine.until(partial(begun, 3 + number))
    # Three of the four are done, the fourth is not: the other person's runs beside it.
    assert engine.inside == {f"{four.id}-3-1", f"{other.id}-0-1"}
    engine.may_end = lambda _: True
    await engine.tell()
    await office.idle()
    assert engine.most_inside == 2


async def test_a_batch_that_turns_out_larger_is_filled(tmp_path: Path) -> None:
    engine = Engine(ServiceStatus(state=ServiceState.LOADING, detail="loading", slots=1))
    engine.may_end = lambda _: False
    async with open_office(tmp_path, engine) as office:
        first = await office.ask(0)
        for person in range(1, 6):
            await office.ask(person)
        await engine.until(lambda: len(engine.inside) == 1)
        engine.status = READY
        engine.may_end = lambda id_: id_.startswith(first.id)
        await engine.tell()
        await engine.until(lambda: len(engine.inside) == 4)
        engine.may_end = lambda _: True
        await engine.tell()
        await office.idle()
        assert engine.most_inside == 4


async def test_a_worker_that_dies_once_costs_one_more_attempt(office: Office) -> None:
    job = await office.job(1, pictures=4)
    office.engine.errors = {f"{job.id}-2-1": WorkerDied("It died.")}
    await office.bot.runner.accept(job)
    await office.idle()
    after = await office.state(job)
    assert (after.state, after.attempts) == (JobState.DELIVERED, 2)
    # The pictures that were made are not made again.
    assert office.engine.begun.count(f"{job.id}-2-2") == 1
    again = [request for request in office.engine.begun if request.endswith("-2")]
    made_first = 4 - len(again)
    assert len(office.engine.begun) - len(again) >= made_first
    assert len(office.answers(job)) == 1


async def test_a_worker_that_dies_twice_ends_in_a_sentence(office: Office) -> None:
    job, other = await office.job(1), await office.job(2)
    office.engine.errors = {job.id: WorkerDied("It died.")}
    await office.bot.runner.accept(job)
    await office.bot.runner.accept(other)
    await office.idle()
    assert len(office.engine.begun) == 3
    [answer] = office.answers(job)
    assert "broke down over this picture twice" in answer.text
    assert (await office.state(other)).state is JobState.DELIVERED


@pytest.mark.parametrize(
    ("error", "locale", "sentence"),
    [
        (OutOfMemory("It does not fit."), "en-GB", "too large for the device's memory"),
        (OutOfMemory("It does not fit."), "de", "zu groß für den Speicher"),
        (NotANumber("No picture."), "fr", "essayez une autre graine"),
        (DeadlineExceeded("Too late."), "es-ES", "Esperó demasiado"),
        (InferenceError("A driver said xyz."), "ja", "問題が起きました"),
    ],
)
async def test_what_the_engine_says_is_told_in_the_person_s_language(
    office: Office, error: InferenceError, locale: str, sentence: str
) -> None:
    job = replace(await office.job(1), locale=locale)
    office.engine.errors = {job.id: error}
    await office.bot.runner.accept(job)
    await office.idle()
    [answer] = office.answers(job)
    assert sentence in answer.text
    assert str(error) not in answer.text


async def test_a_bug_is_a_sentence_for_the_person_and_a_traceback_for_the_operator(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    job = await office.job(1)
    office.engine.errors = {job.id: ZeroDivisionError("a bug")}  # type: ignore[dict-item]
    await office.bot.runner.accept(job)
    await office.idle()
    [answer] = office.answers(job)
    assert "Something went wrong" in answer.text
    assert "a bug" not in answer.text
    assert "a bug" in caplog.text


async def test_when_the_model_gives_up_jobs_are_kept_and_new_ones_refused(tmp_path: Path) -> None:
    world = World()
    engine = Engine()
    async with open_office(tmp_path, engine, world) as office:
        jobs = [await office.job(person) for person in range(6)]
        engine.errors = {job.id: ModelUnavailable("It died three times.") for job in jobs}
        engine.gate.clear()
        for job in jobs:
            await office.bot.runner.accept(job)
        engine.status = replace(
            engine.status, state=ServiceState.FAILED, detail="It died three times."
        )
        engine.gate.set()
        with pytest.raises(ModelGone, match="not running"):
            await office.bot.runner.accept(await office.job(9))
        await engine.until(lambda: not engine.inside)
    async with open_office(tmp_path, Engine(), world) as office:
        await office.idle()
        for job in jobs:
            after = await office.state(job)
            assert (after.state, after.attempts) == (JobState.DELIVERED, 1)


@pytest.mark.parametrize("running", [False, True])
async def test_cancelling_is_answered_once_and_frees_the_engine(
    office: Office, running: bool
) -> None:
    office.engine.gate.clear()
    busy = [await office.ask(person) for person in range(4)]
    await office.engine.until(lambda: len(office.engine.inside) == 4)
    job = busy[0] if running else await office.ask(9)
    assert await office.bot.runner.cancel(job.id)
    assert not await office.bot.runner.cancel(job.id)
    office.engine.gate.set()
    await office.idle()
    assert not await office.bot.runner.cancel(busy[1].id)
    [answer] = office.answers(job)
    assert f"answer cancelled {job.id}" in answer.text
    assert office.engine.cancelled == ([f"{job.id}-0-1"] if running else [])
    assert (await office.state(busy[1])).state is JobState.DELIVERED


async def test_stopping_takes_no_ten_seconds_and_keeps_what_runs_and_waits(
    tmp_path: Path,
) -> None:
    world = World()
    async with open_office(tmp_path, Engine(), world) as office:
        office.engine.gate.clear()
        jobs = [await office.ask(person) for person in range(6)]
        await office.engine.until(lambda: len(office.engine.inside) == 4)
        began = time.monotonic()
    # The model's own process has five of the ten.
    assert time.monotonic() - began < 5.0
    engine = Engine()
    engine.gate.clear()
    async with open_office(tmp_path, engine, world) as office:
        # Their attempts were given back, and their order is as it was. Those that begin together
        # reach the engine as their sources are read.
        await engine.until(lambda: len(engine.inside) == 4)
        assert engine.inside == {f"{job.id}-0-1" for job in jobs[:4]}
        assert [job.id for job in office.bot.runner.queue.order()] == [job.id for job in jobs[4:]]
        engine.gate.set()
        await office.idle()
        assert all([(await office.state(job)).state is JobState.DELIVERED for job in jobs])
        assert all(len(office.answers(job)) == 1 for job in jobs)


async def test_what_is_nearly_done_at_the_stop_is_finished(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        office.engine.gate.clear()
        job = await office.ask(1)
        await office.engine.until(lambda: len(office.engine.inside) == 1)
        asyncio.get_running_loop().call_later(0.3, office.engine.gate.set)
    assert len(office.answers(job)) == 1


async def test_many_at_the_same_moment_do_not_pass_the_limit(tmp_path: Path) -> None:
    async with open_office(tmp_path, limit=5) as office:
        office.engine.gate.clear()
        busy = [await office.ask(person) for person in range(4)]
        await office.engine.until(lambda: len(office.engine.inside) == 4)
        jobs = [await office.job(10 + n) for n in range(20)]
        outcomes = await asyncio.gather(
            *(office.bot.runner.accept(job) for job in jobs), return_exceptions=True
        )
        refused = [outcome for outcome in outcomes if isinstance(outcome, PersonError)]
        assert len(refused) == 15
        assert all(isinstance(outcome, QueueFull) for outcome in refused)
        for job, outcome in zip(jobs, outcomes, strict=True):
            kept = await office.bot.store.job(job.id)
            assert (kept is None) is isinstance(outcome, PersonError)
            if kept is None:
                with pytest.raises(PictureLost):
                    await office.bot.store.pictures.get(job.source)
        office.engine.gate.set()
        await office.idle()
        assert len(office.engine.begun) == 5 + len(busy)


async def test_a_forgotten_persons_jobs_end_and_nothing_of_them_is_kept(office: Office) -> None:
    office.engine.gate.clear()
    mine = [await office.ask(1) for _ in range(6)]
    other = await office.ask(2)
    await office.engine.until(lambda: len(office.engine.inside) == 4)
    assert await office.bot.runner.forget(1) == 6
    office.engine.gate.set()
    await office.idle()
    assert await office.bot.store.jobs_of(1) == []
    for job in mine:
        [answer] = office.answers(job)
        assert "cancelled" in answer.text
        with pytest.raises(PictureLost):
            await office.bot.store.pictures.get(job.source)
    assert (await office.state(other)).state is JobState.DELIVERED
    assert sum(jobs for jobs, _ in (await office.bot.store.tally()).values()) == 6
