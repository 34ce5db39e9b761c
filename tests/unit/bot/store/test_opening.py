"""The store at the start: damage, foreign files, permissions, one bad row."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import re
import shutil
import sqlite3
import stat
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from bot.errors import StartError
from bot.store.opening import FILE_NAME, RESTORE_MARKER, UNPACKED_NAME, StoreDamaged
from bot.store.store import Store
from tests.support.jobs import job, picture
from tests.support.namespaces import IN_MOUNT_NAMESPACE, needs_mount_namespace

ROOT = Path(__file__).parents[4]


async def filled(folder: Path, jobs: int = 40) -> Path:
    """The database file of a closed store with some jobs."""
    async with Store.open(folder) as store:
        for _ in range(jobs):
            await store.accept(job(await store.pictures.put(picture(1))))
    return folder / FILE_NAME


def files_of(folder: Path) -> list[Path]:
    return list(folder.iterdir())


def overwrite(start: int, data: bytes) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        with path.open("r+b") as file:
            file.seek(start)
            file.write(data)

    return damage


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def foreign_tables(path: Path) -> None:
    path.unlink()
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE songs (title TEXT)")
    db.commit()
    db.close()


def missing_column(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("ALTER TABLE moderation_action DROP COLUMN reason")
        db.commit()


def missing_table_of_an_earlier_version(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("DROP TABLE user_defaults")
        db.execute("PRAGMA user_version = 4")
        db.commit()


def lower_version(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 4")
        db.commit()


def negative_version(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = -3")
        db.commit()


def foreign_version(path: Path) -> None:
    foreign_tables(path)
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 1")
    db.close()


RANDOM = random.Random(1)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(overwrite(0, b"\xff" * 16), id="the header"),
        pytest.param(overwrite(100, RANDOM.randbytes(2000)), id="the schema page"),
        pytest.param(overwrite(3 * 4096, RANDOM.randbytes(4096)), id="a data page"),
        pytest.param(missing_column, id="a missing column"),
        pytest.param(missing_table_of_an_earlier_version, id="a missing table"),
        pytest.param(lower_version, id="tables of a later version"),
        pytest.param(negative_version, id="a negative version"),
        pytest.param(truncate, id="truncated"),
        pytest.param(lambda path: path.write_text("hello " * 1000), id="a text file"),
        pytest.param(foreign_tables, id="tables of another program"),
        pytest.param(foreign_version, id="a version of another program"),
    ],
)
async def test_a_damaged_store_is_one_sentence_with_the_file_and_what_to_do(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    path = await filled(tmp_path)
    damage(path)
    before = path.read_bytes()
    with pytest.raises(StoreDamaged) as caught:
        async with Store.open(tmp_path):
            pass
    assert str(path) in str(caught.value)
    assert "move it away" in str(caught.value)
    assert path.read_bytes() == before


async def test_a_store_of_this_version_is_opened_without_a_copy(tmp_path: Path) -> None:
    await filled(tmp_path, jobs=1)
    async with Store.open(tmp_path) as store:
        assert len(await store.unanswered()) == 1
    assert not any(path.suffix == ".bak" for path in files_of(tmp_path))


async def test_an_interrupted_restore_stops_the_start_and_its_leftovers_are_deleted(
    tmp_path: Path,
) -> None:
    await filled(tmp_path, jobs=1)
    (tmp_path / UNPACKED_NAME).mkdir()
    (tmp_path / UNPACKED_NAME / "file").write_text("of a backup")
    (tmp_path / RESTORE_MARKER).touch()
    sentence = (
        f"The last restore into DATA_DIR {tmp_path} was interrupted. Run `python -m bot restore` "
        "again; until then the bot does not start, because some files are missing."
    )
    with pytest.raises(StartError, match=f"^{re.escape(sentence)}$"):
        async with Store.open(tmp_path):
            pass
    (tmp_path / RESTORE_MARKER).unlink()
    async with Store.open(tmp_path) as store:
        assert len(await store.unanswered()) == 1
    assert not (tmp_path / UNPACKED_NAME).exists()


async def test_an_empty_file_is_a_new_store(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).touch()
    async with Store.open(tmp_path) as store:
        assert await store.unanswered() == []


@pytest.mark.parametrize("name", [FILE_NAME, "pictures"])
async def test_a_folder_where_a_file_should_be_is_one_sentence(tmp_path: Path, name: str) -> None:
    if name == "pictures":
        (tmp_path / name).write_text("a file where a folder should be")
    else:
        (tmp_path / name).mkdir()
    with pytest.raises(StartError, match=f"^DATA_DIR {tmp_path} cannot be written to"):
        async with Store.open(tmp_path):
            pass


async def test_a_folder_among_the_pictures_does_not_stop_the_start(tmp_path: Path) -> None:
    await filled(tmp_path, jobs=1)
    (tmp_path / "pictures" / ("0" * 64 + ".png")).mkdir()
    async with Store.open(tmp_path) as store:
        assert len(await store.unanswered()) == 1


READ_ONLY = """
import asyncio, pathlib, subprocess, sys
from bot.errors import StartError
from bot.store.store import Store
folder = pathlib.Path(sys.argv[1])
subprocess.run(["mount", "--bind", folder, folder], check=True)
subprocess.run(["mount", "-o", "remount,ro,bind", folder], check=True)
async def main():
    try:
        async with Store.open(folder):
            print("opened")
    except StartError as error:
        print(error)
asyncio.run(main())
"""


@needs_mount_namespace
@pytest.mark.parametrize("existing", [True, False])
async def test_a_read_only_mount_is_one_sentence(tmp_path: Path, existing: bool) -> None:
    if existing:
        await filled(tmp_path)
    process = await asyncio.create_subprocess_exec(
        *(*IN_MOUNT_NAMESPACE, sys.executable, "-c", READ_ONLY, tmp_path),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    assert f"DATA_DIR {tmp_path} cannot be written to" in output.decode()


async def test_the_free_space_is_that_of_the_data_folder(tmp_path: Path) -> None:
    async with Store.open(tmp_path) as store:
        assert 0 < store.free_bytes() < shutil.disk_usage(tmp_path).total


BAD_PICTURE = "UPDATE picture SET hash = x'00ff' WHERE job_seq = (SELECT seq FROM job WHERE id = ?)"


def bad_request(text: str) -> str:
    return f"UPDATE job SET request = '{text}' WHERE id = ?"


# A change of a job's row → the reason that the log names.
BAD_ROWS = {
    "not JSON": (bad_request("{"), "JSONDecodeError: Expecting property name"),
    "a list": (bad_request("[]"), "TypeError: pop expected"),
    "a field is missing": (bad_request("{}"), "KeyError: 'destination'"),
    "an unknown field": (bad_request('{"version": 2, "colour": "red"}'), "KeyError: 'destination'"),
    "a newer version": (bad_request('{"version": 999}'), "ValueError: the request has version 999"),
    "a picture's name": (BAD_PICTURE, "TypeError: the name of a picture is not a text"),
}


@pytest.mark.parametrize(("change", "reason"), BAD_ROWS.values(), ids=BAD_ROWS)
async def test_an_unreadable_row_costs_one_job(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, change: str, reason: str
) -> None:
    async with Store.open(tmp_path) as store:
        jobs = [job(await store.pictures.put(picture(n))) for n in range(3)]
        for one in jobs:
            await store.accept(one)
    db = sqlite3.connect(tmp_path / FILE_NAME)
    db.execute(change, (jobs[1].id,))
    db.commit()
    db.close()
    async with Store.open(tmp_path) as store:
        assert await store.unanswered() == [jobs[0], jobs[2]]
        assert await store.job(jobs[1].id) is None
        assert await store.erase_user(7) == 3
    errors = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert errors
    assert all(f"a job cannot be read: {reason}" in record.getMessage() for record in errors)
    assert all(getattr(record, "job", None) == jobs[1].id for record in errors)
    assert not any(record.exc_info for record in errors)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o277])
async def test_only_the_bots_user_can_read_the_data(tmp_path: Path, umask: int) -> None:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o755)
    before = os.umask(umask)
    try:
        async with Store.open(folder) as store:
            await store.accept(job(await store.pictures.put(picture(1))))
            modes = {
                path.relative_to(tmp_path).as_posix(): stat.S_IMODE(path.stat().st_mode)
                for path in (folder, *folder.rglob("*"))
            }
    finally:
        os.umask(before)
    folders = {"data", "data/pictures"}
    assert {f"data/{FILE_NAME}", f"data/{FILE_NAME}-wal", *folders} < set(modes)
    assert {name for name, mode in modes.items() if mode != 0o600} == folders
    assert {modes[name] for name in folders} == {0o700}
