"""The findings of a thorough check of a store."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from bot.backup import inspection
from bot.backup.inspection import Inspection, inspect
from bot.store.opening import FILE_NAME
from bot.store.store import Store
from tests.support.jobs import job, picture
from tests.support.stores import accepted


async def test_an_intact_store_is_reported_as_intact(tmp_path: Path) -> None:
    async with Store.open(tmp_path) as store:
        await accepted(store, 1)
        # A picture that no job names yet.
        await store.pictures.put(picture(2))
        found = inspect(tmp_path)
    assert found.intact
    assert (found.jobs, found.pictures, found.stray) == (1, 1, ())


async def test_an_inspection_names_missing_damaged_stray_and_unreadable(tmp_path: Path) -> None:
    async with Store.open(tmp_path) as store:
        jobs = [await accepted(store, number) for number in range(4)]
    pictures = tmp_path / "pictures"
    (pictures / f"{jobs[0].source}.png").unlink()
    shutil.copy(pictures / f"{jobs[2].source}.png", pictures / f"{jobs[1].source}.png")
    stray = pictures / "left.part"
    stray.touch()
    os.utime(stray, (0, 0))
    with closing(sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)) as db:
        db.execute("UPDATE job SET request = '{}' WHERE id = ?", (jobs[3].id,))
        db.execute("INSERT INTO picture VALUES (999, 'source', ?)", (jobs[2].source,))
    found = inspect(tmp_path)
    assert found.missing == (jobs[0].source,)
    assert found.damaged == (jobs[1].source,)
    assert found.stray == ("left.part",)
    assert found.unreadable == (jobs[3].id,)
    assert "missing row of job" in found.database
    assert not found.intact


async def test_each_loss_makes_a_store_not_intact_and_a_stray_file_does_not() -> None:
    assert Inspection(jobs=1, pictures=1, stray=("left.part",)).intact
    for loss in (
        Inspection(jobs=1, pictures=1, database="a broken page"),
        Inspection(jobs=1, pictures=1, unreadable=("0123",)),
        Inspection(jobs=1, pictures=1, missing=("4567",)),
        Inspection(jobs=1, pictures=1, damaged=("89ab",)),
    ):
        assert not loss.intact


async def test_a_file_that_no_job_names_is_stray_after_an_hour(tmp_path: Path) -> None:
    async with Store.open(tmp_path) as store:
        await accepted(store, 1)
    now = time.time()
    for name, age in (("new.png", 3500), ("old.png", 3700)):
        (tmp_path / "pictures" / name).touch()
        os.utime(tmp_path / "pictures" / name, (now - age, now - age))
    assert inspect(tmp_path).stray == ("old.png",)


async def test_pictures_of_a_running_bot_that_are_erased_or_named_meanwhile_are_no_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Store.open(tmp_path) as store:
        erased = [await accepted(store, number, user_id=8) for number in range(2)]
        # A picture that was stored long ago, and is named by a job only now.
        named = tmp_path / "pictures" / f"{await store.pictures.put(picture(3))}.png"
        os.utime(named, (0, 0))
        checked = inspection._has_content

        def check_while_the_bot_works(path: Path, name: str) -> bool:
            monkeypatch.setattr(inspection, "_has_content", checked)
            store._erase(user=8)
            store._accept(job(named.stem))
            return checked(path, name)

        monkeypatch.setattr(inspection, "_has_content", check_while_the_bot_works)
        found = inspect(tmp_path)
    assert not any((tmp_path / "pictures" / f"{one.source}.png").exists() for one in erased)
    assert (found.missing, found.damaged, found.stray) == ((), (), ())


async def test_a_picture_whose_name_is_no_text_makes_its_job_unreadable(tmp_path: Path) -> None:
    async with Store.open(tmp_path) as store:
        damaged, intact = [await accepted(store, number) for number in range(2)]
    with closing(sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)) as db:
        db.execute(
            "UPDATE picture SET hash = x'00ff' WHERE job_seq = (SELECT seq FROM job WHERE id = ?)",
            (damaged.id,),
        )
    found = inspect(tmp_path)
    assert found.unreadable == (damaged.id,)
    assert (found.missing, found.damaged, found.pictures) == ((), (), 1)
    async with Store.open(tmp_path) as store:
        assert [job.id for job in await store.unanswered()] == [intact.id]
