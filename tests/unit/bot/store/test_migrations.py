"""Stores that earlier versions wrote. Each folder in `tests/fixtures/stores` is one version's,
written by that version's own code."""

from __future__ import annotations

import shutil
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from bot.jobs.job import JobState
from bot.moderation.actions import Moderator, ModeratorActions
from bot.moderation.cases import ModerationCases
from bot.moderation.lists import ModerationLists
from bot.moderation.model import Effect, Place, Subject
from bot.store.opening import COPY_NAME, FILE_NAME
from bot.store.schema import MIGRATIONS, VERSION
from bot.store.store import Store
from bot.store.user_defaults import Notification, UserDefaults

STORES = Path(__file__).parents[3] / "fixtures" / "stores"
SCHEMA_VERSIONS = {"0.1.0": 1}


def schema_version(path: Path) -> int:
    with closing(sqlite3.connect(path)) as db:
        (version,) = db.execute("PRAGMA user_version").fetchone()
    return int(version)


def test_every_released_version_has_a_store() -> None:
    assert {path.name for path in STORES.iterdir()} == set(SCHEMA_VERSIONS)


@pytest.mark.parametrize("release", SCHEMA_VERSIONS)
async def test_an_earlier_store_opens_with_all_of_its_jobs(tmp_path: Path, release: str) -> None:
    folder = shutil.copytree(STORES / release, tmp_path / "data")
    async with Store.open(folder) as store:
        jobs = {job.id: job for job in await store.jobs_of(7)}
        assert {int(id_, 16): job.state for id_, job in jobs.items()} == {
            1: JobState.QUEUED,
            2: JobState.RUNNING,
            3: JobState.MADE,
            4: JobState.DELIVERED,
            5: JobState.FAILED,
            6: JobState.CANCELLED,
        }
        made = jobs[f"{3:016x}"]
        assert made.variants[0].result is not None
        assert await store.pictures.get(made.variants[0].result)
        assert made.shown_prompt == "a red fox 3, ink drawing"
        assert made.destination.token == "interaction-token"
        assert jobs[f"{6:016x}"].layout == "grid"
        assert len(jobs[f"{6:016x}"].variants) == 4
        assert await store.guild_settings.gallery(3) == 9
        assert sum(jobs for jobs, _ in (await store.ledger.tally()).values()) == 1
        await store.start(f"{1:016x}", 1.0)
    assert schema_version(folder / FILE_NAME) == VERSION
    copy = folder / f"{FILE_NAME}.version-{SCHEMA_VERSIONS[release]}.bak"
    if SCHEMA_VERSIONS[release] < VERSION:
        assert schema_version(copy) == SCHEMA_VERSIONS[release]
        assert stat.S_IMODE(copy.stat().st_mode) == 0o600
        original = shutil.copy(STORES / release / FILE_NAME, tmp_path / "original.sqlite3")
        with closing(sqlite3.connect(copy)) as old, closing(sqlite3.connect(original)) as raw:
            assert list(old.iterdump()) == list(raw.iterdump())


async def test_defaults_of_before_the_default_model_are_kept(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as db:
        for script in MIGRATIONS[:4]:
            db.executescript(script)
        db.execute("INSERT INTO user_defaults VALUES (7, 0.4, 'Anime', 9, 1, 'direct')")
        db.execute("PRAGMA user_version = 4")
        db.commit()
    async with Store.open(tmp_path) as store:
        kept = UserDefaults(
            strength=0.4, style="Anime", steps=9, private=True, notification=Notification.DIRECT
        )
        assert await store.user_defaults.of(7) == kept
        changed = await store.user_defaults.change(7, model="sdxl-turbo")
        assert await store.user_defaults.of(7) == changed
    assert schema_version(tmp_path / FILE_NAME) == VERSION


async def test_undo_after_an_upgrade_restores_only_what_was_in_force(tmp_path: Path) -> None:
    """Before version 8, undoing a ban lifted the earlier ones, and timeouts kept no end."""
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as db:
        for script in MIGRATIONS[:7]:
            db.executescript(script)
        case = (
            "INSERT INTO moderation_case (id, kind, guild_id, channel_id, user_id, reason, "
            "state, created_at) VALUES (?, 'user', 3, 4, 5, '', 'handled', 1)"
        )
        db.executemany(case, [(1,), (2,), (3,)])
        action = "INSERT INTO moderation_action VALUES (?, 3, ?, 9, 'user 5', '', ?, ?, ?)"
        db.executemany(
            action,
            [
                (1, "ban", None, 1, None),
                (2, "ban", 1, 2, 3),
                (3, "ban", 2, 4, None),
                (4, "timeout", None, 5, None),
                (5, "timeout", None, 6, None),
            ],
        )
        restriction = "INSERT INTO moderation_restriction VALUES (3, 'user', 5, ?, ?)"
        db.executemany(restriction, [("ban", None), ("timeout", 100)])
        db.execute("PRAGMA user_version = 7")
        db.commit()
    async with Store.open(tmp_path) as store:
        lists, cases = ModerationLists(store.database), ModerationCases(store.database)
        actions = ModeratorActions(lists, cases, clock=lambda: 10.0)
        by, place = Moderator(3, 9), Place(3, 0)
        (second, third) = [await cases.case(2), await cases.case(3)]
        assert second is not None
        assert third is not None
        assert await actions.undo(by, second) is not None
        (timeout,) = await lists.restrictions(place)
        assert (timeout.effect, timeout.until) == (Effect.TIMEOUT, 100)
        await actions.restrict(by, Effect.TIMEOUT, Subject.USER, 5, seconds=900, case=third)
        assert await lists.restrictions(place) != [timeout]
        assert await actions.undo(by, third) is not None
        assert await lists.restrictions(place) == [timeout]


async def test_a_migration_that_fails_leaves_the_earlier_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bot.store import opening, schema

    async with Store.open(tmp_path) as store:
        await store.guild_settings.set_gallery(3, 9)
    script = "CREATE TABLE extra (a NOT NULL); INSERT INTO extra SELECT NULL FROM guild_settings;"
    broken = (*schema.MIGRATIONS, script)
    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", broken)
        patch.setattr(schema, "VERSION", len(broken))
        patch.setattr(opening, "VERSION", len(broken))
        with pytest.raises(Exception, match="NOT NULL constraint"):
            async with Store.open(tmp_path):
                pass
    assert schema_version(tmp_path / FILE_NAME) == VERSION
    assert schema_version(tmp_path / f"{FILE_NAME}.version-{VERSION}.bak") == VERSION
    async with Store.open(tmp_path) as store:
        assert await store.unanswered() == []


@pytest.mark.parametrize("erasure", ["user", "retention"])
async def test_a_copy_before_a_migration_is_erased_with_its_data(
    tmp_path: Path, erasure: str
) -> None:
    async with Store.open(tmp_path) as store:
        copy = tmp_path / COPY_NAME.format(version=1)
        copy.write_text("the data of a user")
        made = copy.stat().st_mtime
        if erasure == "user":
            await store.erase_user(7)
        else:
            await store.erase_before(made - 1)
            assert copy.exists()
            await store.erase_before(made + 1)
        assert not copy.exists()


def test_the_check_of_the_file_accepts_a_row_in_every_table() -> None:
    """SQLite 3.40.1 reports NULL values in tables without row ids whose key is not first."""
    with closing(sqlite3.connect(":memory:")) as db:
        for script in MIGRATIONS:
            db.executescript(script)
        query = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
        tables = [name for (name,) in db.execute(query)]
        for table in tables:
            number = len(db.execute(f"PRAGMA table_info({table})").fetchall())
            values = ", ".join(["'1'"] * number)
            db.execute(f"INSERT INTO {table} VALUES ({values})")
        assert "posted_copy" in tables
        assert db.execute("PRAGMA quick_check").fetchall() == [("ok",)]
