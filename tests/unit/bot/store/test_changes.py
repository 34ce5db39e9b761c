"""The changes of a job: what each stores, and the failpoints around it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bot.errors import JobNotActive
from bot.jobs.budgets import Charge
from bot.jobs.job import Job, JobState, Variant
from bot.store.erasure import last_activity
from bot.store.store import Store
from tests.support.jobs import job, picture

CHARGE = Charge(seconds=1.5, work=10.0, at=1_800_014_400.0)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with Store.open(tmp_path) as opened:
        yield opened


async def running(store: Store) -> Job:
    """A running job of two pictures in a server."""
    source = await store.pictures.put(picture(1))
    variants = tuple(Variant(seed=n, strength=1.0) for n in range(2))
    one = job(source, variants=variants, created_at=CHARGE.at, model="small")
    await store.accept(one)
    return await store.start(one.id, 5.0)


async def make(store: Store, one: Job) -> Job:
    names = [await store.pictures.put(picture(n)) for n in (2, 3)]
    return await store.variant_made(
        one.id, 1, names[0], ignored_prompt="the end", depth=names[1], charge=CHARGE
    )


# Change → how it is made, its failpoints, and what it changes of a running job.
CHANGES: dict[str, tuple[Callable[[Store, Job], Awaitable[object]], str, dict[str, object]]] = {
    "start": (lambda store, one: store.start(one.id, 6.0), "start", {"started_at": 6.0}),
    "requeue": (
        lambda store, one: store.requeue(one.id),
        "requeue",
        {"state": JobState.QUEUED},
    ),
    "bot_died": (
        lambda store, one: store.bot_died(one.id),
        "bot death",
        {"state": JobState.QUEUED, "bot_deaths": 1},
    ),
    "worker_died": (
        lambda store, one: store.worker_died(one.id),
        "death",
        {"state": JobState.QUEUED, "attempts": 1},
    ),
    "made": (
        lambda store, one: store.made(one.id, 2.5),
        "made",
        {"state": JobState.MADE, "seconds": 2.5},
    ),
    "fail": (
        lambda store, one: store.fail(one.id, "No.", 17),
        "fail",
        {"state": JobState.FAILED, "error": "No.", "case_id": 17},
    ),
    "cancel": (
        lambda store, one: store.cancel(one.id),
        "cancel",
        {"state": JobState.CANCELLED},
    ),
    "posting": (
        lambda store, one: store.posting(one.id, 9, 7.5),
        "posting",
        {"post_channel_id": 9, "post_since": 7.5},
    ),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_a_change_stores_its_values_and_nothing_else(store: Store, change: str) -> None:
    before = await running(store)
    make_change, name, changes = CHANGES[change]
    passed: list[str] = []
    store.database.failpoint = passed.append
    after = await make_change(store, before)
    assert after == await store.job(before.id) == replace(before, **changes)  # type: ignore[arg-type]
    assert passed == [f"before {name}", f"within {name}", f"after {name}"]


async def test_a_made_variant_has_its_result_the_depth_map_and_its_charge(store: Store) -> None:
    before = await running(store)
    passed: list[str] = []
    store.database.failpoint = passed.append
    after = await make(store, before)
    assert passed == ["before variant", "within variant", "after variant"]
    assert (after.ignored_prompt, after.missing) == ("the end", (0,))
    assert after.variants[1].result is not None
    assert after.depth is not None
    assert await store.pictures.get(after.variants[1].result) == picture(2)
    assert await store.pictures.get(after.depth) == picture(3)
    assert (await store.ledger.spent(7, 3, "2027-01-15")).user == 1.5


async def test_an_answered_job_keeps_its_pictures_and_loses_its_token(store: Store) -> None:
    before = await make(store, await running(store))
    made = await store.made(before.id, 1.0)
    answered = await store.answered(before.id, 8.0)
    assert answered == replace(
        made,
        state=JobState.DELIVERED,
        finished_at=8.0,
        destination=replace(made.destination, token=None),
    )


async def test_a_change_that_is_refused_names_the_job_and_itself(store: Store) -> None:
    one = await running(store)
    await store.cancel(one.id)
    with pytest.raises(JobNotActive, match=f"^Job {one.id} is erased or past 'made'.$"):
        await store.made(one.id, 1.0)


@pytest.mark.parametrize("erasure", ["user", "moment", "job"])
async def test_erasure_counts_a_job_once_and_each_of_its_pictures(
    store: Store, erasure: str
) -> None:
    """A job of two pictures, and one of another user that did not run."""
    one = await make(store, await running(store))
    result = await store.pictures.put(picture(4))
    await store.variant_made(one.id, 0, result, ignored_prompt="", depth=None)
    await store.made(one.id, 1.0)
    await store.answered(one.id, 2.0)
    other = job(user_id=8, created_at=CHARGE.at)
    await store.accept(other)
    match erasure:
        case "user":
            assert await store.erase_user(7) == 1
        case "moment":
            assert await store.erase_before(2.5) == 1
        case "job":
            await store.erase_job(one.id)
    assert await store.ledger.tally() == {("2027-01-15", "delivered"): (1, 2)}
    assert await store.job(one.id) is None
    assert await store.job(other.id) == other
    await store.erase_user(8)
    assert await store.ledger.tally() == {
        ("2027-01-15", "delivered"): (1, 2),
        ("2027-01-15", "queued"): (1, 0),
    }


@pytest.mark.parametrize("answered", [False, True])
async def test_erasure_counts_a_cancelled_job(store: Store, answered: bool) -> None:
    """With the picture that was made before it was cancelled."""
    one = await make(store, await running(store))
    await store.cancel(one.id)
    if answered:
        await store.answered(one.id, 2.0)
    assert await store.erase_before(2.5) == answered
    assert await store.erase_user(7) == (not answered)
    assert await store.ledger.tally() == {("2027-01-15", "cancelled"): (1, 1)}
    assert await store.job(one.id) is None


async def test_the_last_activity_is_the_newest_request_or_answer(store: Store) -> None:
    assert await last_activity(store.database) is None
    for created in (200.0, 100.0):
        one = job(created_at=created)
        await store.accept(one)
    assert await last_activity(store.database) == 200.0
    await store.cancel(one.id)
    await store.answered(one.id, 300.0)
    assert await last_activity(store.database) == 300.0


async def test_waiting_times_are_those_of_started_jobs_since_a_moment(store: Store) -> None:
    for created, started in ((100.0, 160.0), (200.0, 230.0), (300.0, None), (50.0, 51.0)):
        one = job(created_at=created)
        await store.accept(one)
        if started is not None:
            await store.start(one.id, started)
    assert await store.ledger.waiting_times(100.0) == [30.0, 60.0]
