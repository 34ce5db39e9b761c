"""The findings of a thorough check of a store."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from bot.backup.inspection import inspect
from bot.store.opening import FILE_NAME
from bot.store.store import Store
from tests.support.jobs import picture
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
