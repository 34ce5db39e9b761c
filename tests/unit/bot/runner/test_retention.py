"""Jobs are kept for the retention time, also when the clock jumps, and no longer."""

from __future__ import annotations

import asyncio
import sqlite3
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from bot.errors import StorageFull
from bot.retention_clock import RetentionClock
from bot.runner import retention
from bot.runner.retention import GAP_SECONDS, erase_expired_jobs
from bot.store.erasure import limit_answer_times
from bot.store.store import Store
from tests.support.jobs import DESTINATION, job

HOUR = 3600.0
RETENTION = 24 * HOUR
YEARS = 10 * 365 * 24 * HOUR


@dataclass
class Time:
    """The system's clock and the time since boot."""

    wall: float = 1_000_000_000.0
    elapsed: float = 50.0

    def pass_(self, seconds: float) -> None:
        self.wall += seconds
        self.elapsed += seconds


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def clock(time: Time) -> RetentionClock:
    return RetentionClock(lambda: time.wall, lambda: time.elapsed)


def test_a_correct_clock_is_not_changed(time: Time, clock: RetentionClock) -> None:
    for _ in range(300):
        time.pass_(600)
        time.wall += 1
        assert clock.cutoff(RETENTION) == time.wall - RETENTION


def test_after_a_jump_ahead_earlier_jobs_live_for_the_retention_time(
    time: Time, clock: RetentionClock
) -> None:
    answered = time.wall
    time.pass_(HOUR)
    time.wall += YEARS
    assert clock.cutoff(RETENTION) < answered
    time.pass_(RETENTION - HOUR - 1)
    assert clock.cutoff(RETENTION) < answered
    time.pass_(2)
    assert clock.cutoff(RETENTION) > answered


def test_after_a_jump_ahead_later_jobs_live_for_the_retention_time(
    time: Time, clock: RetentionClock
) -> None:
    time.wall += YEARS
    clock.now()
    time.pass_(HOUR)
    answered = time.wall
    for _ in range(23):
        time.pass_(HOUR)
        assert clock.cutoff(RETENTION) < answered
    time.pass_(HOUR + 1)
    assert clock.cutoff(RETENTION) > answered


def test_a_jump_that_is_undone_is_forgotten(time: Time, clock: RetentionClock) -> None:
    time.wall += YEARS
    assert not clock.was_set_back()
    time.wall -= YEARS
    time.pass_(600)
    assert clock.was_set_back()
    assert clock.cutoff(RETENTION) == time.wall - RETENTION
    assert not clock.was_set_back()


def test_a_shorter_retention_time_ends_earlier_after_a_jump(
    time: Time, clock: RetentionClock
) -> None:
    time.wall += YEARS
    answered = time.wall
    clock.now()
    time.pass_(HOUR + 1)
    assert clock.cutoff(HOUR) > answered
    assert clock.cutoff(RETENTION) < answered - YEARS


async def erase_once(store: Store, time: Time, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Run the retention loop until its second pause; the pauses."""
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        time.pass_(seconds)
        if len(pauses) == 2:
            raise asyncio.CancelledError

    monkeypatch.setattr(asyncio, "sleep", sleep)
    with pytest.raises(asyncio.CancelledError):
        await erase_expired_jobs(store, 24.0, lambda: time.wall)
    return pauses


async def answered(store: Store, time: Time, guild_id: int = 3) -> str:
    destination = replace(DESTINATION, guild_id=guild_id)
    one = job(created_at=time.wall, destination=destination)
    await store.accept(one)
    await store.cancel(one.id)
    await store.answered(one.id, time.wall)
    return one.id


async def test_jobs_answered_by_a_wrong_clock_expire_after_it_is_set_back(
    tmp_path: Path, time: Time
) -> None:
    async with Store.open(tmp_path) as store:
        time.wall += YEARS
        id_ = await answered(store, time)
        time.wall -= YEARS
        assert await limit_answer_times(store.database, time.wall) == 1
        time.pass_(RETENTION + 1)
        await store.erase_before(time.wall - RETENTION)
        assert await store.job(id_) is None


async def test_a_start_long_after_the_last_request_waits_before_it_erases(
    tmp_path: Path, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Store.open(tmp_path) as store:
        id_ = await answered(store, time)
        time.wall += RETENTION + GAP_SECONDS + 1
        assert await erase_once(store, time, monkeypatch) == [
            retention.HOLD_SECONDS,
            retention.INTERVAL_SECONDS,
        ]
        assert await store.job(id_) is None


async def test_a_start_within_a_week_erases_at_once(
    tmp_path: Path, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Store.open(tmp_path) as store:
        id_ = await answered(store, time)
        time.wall += RETENTION + GAP_SECONDS - 1
        assert await erase_once(store, time, monkeypatch) == [retention.INTERVAL_SECONDS] * 2
        assert await store.job(id_) is None


async def test_the_log_counts_the_erased_jobs(
    tmp_path: Path, time: Time, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", retention.__name__)
    async with Store.open(tmp_path) as store:
        await store.guild_settings.change(5, retention_hours=2.0)
        for guild_id in (3, 5, 5):
            await answered(store, time, guild_id)
        time.pass_(2 * HOUR + 1)
        await erase_once(store, time, monkeypatch)
        time.pass_(RETENTION)
        await erase_once(store, time, monkeypatch)
    logged = [record for record in caplog.records if record.name == retention.__name__]
    assert [record.getMessage() for record in logged] == [
        f"erased {number} jobs after their retention time" for number in (2, 1)
    ]


async def test_the_users_of_past_days_are_merged_in_the_ledger(
    tmp_path: Path, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Store.open(tmp_path) as store:
        await answered(store, time)
        user = job().user_id
        await erase_once(store, time, monkeypatch)
        assert [row.requests for row in await store.ledger.usage("", user)] == [1]
        time.pass_(RETENTION)
        await erase_once(store, time, monkeypatch)
        assert await store.ledger.usage("", user) == []
        assert [row.requests for row in await store.ledger.usage("")] == [1]


@pytest.mark.parametrize("hours", [24.0, 2.0])
async def test_the_retention_time_is_in_hours(
    tmp_path: Path, time: Time, monkeypatch: pytest.MonkeyPatch, hours: float
) -> None:
    """The operator's 24 hours, and a server's own 2 hours."""
    async with Store.open(tmp_path) as store:
        await store.guild_settings.change(5, retention_hours=2.0)
        id_ = await answered(store, time, guild_id=5 if hours == 2.0 else 3)
        # The loop erases twice: now, and after its first pause.
        time.pass_(hours * HOUR - retention.INTERVAL_SECONDS - 1)
        await erase_once(store, time, monkeypatch)
        assert await store.job(id_) is not None
        time.pass_(2)
        await erase_once(store, time, monkeypatch)
        assert await store.job(id_) is None


@pytest.mark.parametrize(
    "error", [sqlite3.OperationalError("disk I/O error"), OSError("disk"), StorageFull()]
)
async def test_an_error_of_the_database_does_not_end_the_loop(
    tmp_path: Path,
    time: Time,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
) -> None:
    async with Store.open(tmp_path) as store:
        id_ = await answered(store, time)
        time.wall += RETENTION + 1
        erase_before = store.erase_before
        errors = [error]

        async def fail_once(cutoff: float, guild_id: int | None = None) -> int:
            if errors:
                raise errors.pop()
            return await erase_before(cutoff, guild_id)

        monkeypatch.setattr(store, "erase_before", fail_once)
        await erase_once(store, time, monkeypatch)
        assert not errors
        assert await store.job(id_) is None
    assert f"old jobs could not be erased; trying again later: {error}" in caplog.text
