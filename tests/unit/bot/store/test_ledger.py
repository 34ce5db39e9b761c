"""The ledger of device seconds: the charges, their users, and their retention."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from bot.errors import JobNotActive
from bot.jobs.budgets import Charge, Spent
from bot.jobs.job import Job, JobState
from bot.store.ledger import day_of, renewal
from bot.store.store import Store
from tests.support.jobs import job, picture

NOON = 1_800_014_400.0
TODAY = "2027-01-15"
DAY = 86_400.0


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with Store.open(tmp_path) as opened:
        yield opened


async def accepted(store: Store, user: int = 7, guild: int | None = 3, at: float = NOON) -> Job:
    one = job(await store.pictures.put(picture(user)), user_id=user, created_at=at, model="small")
    one = replace(one, destination=replace(one.destination, guild_id=guild))
    await store.accept(one)
    return await store.start(one.id, at)


async def make(store: Store, one: Job, seconds: float, at: float = NOON) -> None:
    result = await store.pictures.put(picture(100))
    charge = Charge(seconds=seconds, work=1000.0, at=at)
    await store.variant_made(one.id, 0, result, ignored_prompt="", depth=None, charge=charge)


def test_a_day_ends_at_midnight_in_utc() -> None:
    assert day_of(NOON) == TODAY
    assert day_of(renewal(NOON) - 1) == TODAY
    assert day_of(renewal(NOON)) == "2027-01-16"
    assert renewal(NOON + 12.5) == renewal(NOON)


async def test_a_picture_is_charged_to_its_user_and_its_server(store: Store) -> None:
    for user, guild, seconds in ((7, 3, 1.5), (7, 4, 2.0), (8, 3, 4.0), (7, None, 8.0)):
        await make(store, await accepted(store, user, guild), seconds)
    ledger = store.ledger
    assert await ledger.spent(7, 3, TODAY) == Spent(user=11.5, user_here=1.5, server=5.5)
    assert await ledger.spent(7, None, TODAY) == Spent(user=11.5, user_here=8.0, server=8.0)
    assert await ledger.spent(9, 5, TODAY) == Spent()
    assert await ledger.spent(7, 3, "2027-01-16") == Spent()
    assert await ledger.rates(TODAY) == {"small": 15.5 / 4000}
    rows = await ledger.usage(TODAY, 7)
    assert [(row.guild_id, row.requests, row.pictures) for row in rows] == [
        (0, 1, 1),
        (3, 1, 1),
        (4, 1, 1),
    ]


async def test_a_picture_that_is_not_stored_is_not_charged(store: Store) -> None:
    one = await accepted(store)
    await store.cancel(one.id)
    with pytest.raises(JobNotActive):
        await make(store, one, 1.0)
    assert await store.ledger.spent(7, 3, TODAY) == Spent()


async def test_a_refused_result_is_charged(store: Store) -> None:
    one = await accepted(store)
    await store.fail(one.id, "No.", charge=Charge(seconds=2.0, work=1.0, at=NOON))
    assert (await store.ledger.spent(7, 3, TODAY)).user == 2.0


async def test_erasure_does_not_renew_a_budget(store: Store) -> None:
    await make(store, await accepted(store), 1.5)
    await store.erase_user(7)
    assert (await store.ledger.spent(7, 3, TODAY)).user == 1.5


async def test_users_of_past_days_are_merged(store: Store) -> None:
    for user in (7, 8):
        await make(store, await accepted(store, user, at=NOON - DAY), 1.0, at=NOON - DAY)
        await make(store, await accepted(store, user), 2.0)
    for _ in range(2):
        await store.ledger.expire(NOON)
    rows = await store.ledger.usage("2027-01-01")
    assert [(row.day, row.requests, row.seconds) for row in rows] == [
        ("2027-01-14", 2, 2.0),
        (TODAY, 1, 2.0),
        (TODAY, 1, 2.0),
    ]
    assert rows[0].user_id == 0
    assert len(await store.ledger.usage("2027-01-01", 7)) == 1


async def test_the_time_of_an_accepted_request_is_kept_for_a_day(tmp_path: Path) -> None:
    async with Store.open(tmp_path) as store:
        assert await store.ledger.last_request(3, 7) is None
        for at in (NOON, NOON - 5):
            await accepted(store, at=at)
        await accepted(store, guild=None, at=NOON + 1)
    async with Store.open(tmp_path) as store:
        await store.ledger.expire(NOON + 10)
        assert await store.ledger.last_request(3, 7) == NOON
        assert await store.ledger.last_request(None, 7) == NOON + 1
        assert await store.ledger.last_request(3, 8) is None
        assert await store.ledger.last_request(4, 7) is None
        assert await store.ledger.last_requests(7) == {0: NOON + 1, 3: NOON}
        await store.ledger.expire(NOON + 2 + DAY)
        assert await store.ledger.last_requests(7) == {}


@pytest.mark.parametrize("moment", ["within", "after"])
async def test_a_cancellation_and_its_charge_are_one_transaction(
    tmp_path: Path, moment: str
) -> None:
    """The process ends within the transaction, or after it."""
    killed = f"{moment} cancel"

    def failpoint(name: str) -> None:
        if name == killed:
            raise KeyboardInterrupt

    charge = Charge(seconds=3.0, work=10.0, at=NOON, pictures=0)
    async with Store.open(tmp_path, failpoint=failpoint) as store:
        one = await accepted(store)
        with pytest.raises(KeyboardInterrupt):
            await store.cancel(one.id, lambda _job: charge)
    async with Store.open(tmp_path) as store:
        found = await store.job(one.id)
        assert found is not None
        seconds = (await store.ledger.spent(7, 3, TODAY)).user
    expected = {"within": (JobState.RUNNING, 0.0), "after": (JobState.CANCELLED, 3.0)}
    assert (found.state, seconds) == expected[moment]
