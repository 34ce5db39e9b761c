"""A restore replaces everything or nothing, and keeps what it replaces."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import stat
import tarfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from bot.backup.create import create
from bot.backup.restore import DATA, restore
from bot.errors import StartError
from bot.jobs.job import Job
from bot.store.opening import FILE_NAME, RESTORE_MARKER, UNPACKED_NAME, StoreLocked
from bot.store.store import Store
from tests.support.processes.forks import FORKS
from tests.support.stores import accepted, filled, jobs_in, names_in


async def test_a_restore_refuses_while_a_bot_runs(tmp_path: Path) -> None:
    await filled(tmp_path, 1)
    create(tmp_path, tmp_path / "backup.tar")
    async with Store.open(tmp_path) as store:
        with pytest.raises(StoreLocked):
            restore(tmp_path / "backup.tar", tmp_path)
        assert len(await store.unanswered()) == 1


async def test_a_restore_keeps_what_it_replaces(tmp_path: Path) -> None:
    old = await filled(tmp_path / "old", 1)
    create(tmp_path / "old", tmp_path / "backup.tar")
    newer = await filled(tmp_path / "data", 2)
    restored = restore(tmp_path / "backup.tar", tmp_path / "data")
    assert await jobs_in(tmp_path / "data") == [old]
    assert restored.replaced is not None
    assert await jobs_in(restored.replaced) == [newer]


async def test_the_log_of_a_killed_bot_is_replaced_with_its_database(tmp_path: Path) -> None:
    """Beside the restored database, SQLite would read it as that one's."""
    old = await filled(tmp_path / "old", 1)
    create(tmp_path / "old", tmp_path / "backup.tar")
    async with Store.open(tmp_path / "running") as store:
        newer = await accepted(store, 2)
        shutil.copytree(tmp_path / "running", tmp_path / "data")
    assert (tmp_path / "data" / f"{FILE_NAME}-wal").stat().st_size > 0
    restored = restore(tmp_path / "backup.tar", tmp_path / "data")
    assert names_in(tmp_path / "data") & {f"{FILE_NAME}-wal", f"{FILE_NAME}-shm"} == set()
    assert await jobs_in(tmp_path / "data") == [old]
    assert restored.replaced is not None
    assert await jobs_in(restored.replaced) == [newer]


async def test_only_the_owner_can_read_what_was_restored(tmp_path: Path) -> None:
    one = await filled(tmp_path / "data", 1)
    create(tmp_path / "data", tmp_path / "backup.tar")
    umask = os.umask(0)
    try:
        restore(tmp_path / "backup.tar", tmp_path / "new")
    finally:
        os.umask(umask)
    for name, mode in (
        (".", 0o700),
        (FILE_NAME, 0o600),
        ("pictures", 0o700),
        (f"pictures/{one.source}.png", 0o600),
    ):
        assert stat.S_IMODE((tmp_path / "new" / name).stat().st_mode) == mode, name


async def test_replaced_data_is_erased_with_its_user(tmp_path: Path) -> None:
    await filled(tmp_path / "data", 1)
    create(tmp_path / "data", tmp_path / "backup.tar")
    replaced = restore(tmp_path / "backup.tar", tmp_path / "data").replaced
    assert replaced is not None
    async with Store.open(tmp_path / "data") as store:
        await store.erase_before(replaced.stat().st_mtime - 1)
        assert replaced.exists()
        await store.erase_user(7)
    assert not replaced.exists()


async def test_a_damaged_store_is_replaced_too(tmp_path: Path) -> None:
    old = await filled(tmp_path / "data", 1)
    create(tmp_path / "data", tmp_path / "backup.tar")
    (tmp_path / "data" / FILE_NAME).write_text("not a database")
    restore(tmp_path / "backup.tar", tmp_path / "data")
    assert await jobs_in(tmp_path / "data") == [old]


def truncate(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def write_text(file: Path) -> None:
    file.write_text("hello " * 1000)


def empty_tar(file: Path) -> None:
    tarfile.open(file, "w").close()


def edit(change: Callable[[Path], None]) -> Callable[[Path], None]:
    """Unpack the backup, change its files, and pack it again."""

    def damage(file: Path) -> None:
        folder = file.with_suffix(".unpacked")
        with tarfile.open(file) as archive:
            archive.extractall(folder, filter="data")
        change(folder)
        with tarfile.open(file, "w") as archive:
            for path in folder.rglob("*"):
                if path.is_file():
                    archive.add(path, path.relative_to(folder).as_posix())
        shutil.rmtree(folder)

    return damage


def other_pixels(folder: Path) -> None:
    [path] = (folder / "pictures").iterdir()
    path.write_bytes(path.read_bytes()[:50])


def random_pages(folder: Path) -> None:
    with (folder / FILE_NAME).open("r+b") as file:
        file.seek(4096)
        file.write(b"\x7f" * 4096)


def newer_version(folder: Path) -> None:
    with closing(sqlite3.connect(folder / FILE_NAME)) as db:
        db.execute("PRAGMA user_version = 999")


def foreign_tables(folder: Path) -> None:
    """Tables of the same names with other columns."""
    (folder / FILE_NAME).unlink()
    with closing(sqlite3.connect(folder / FILE_NAME)) as db:
        db.executescript("CREATE TABLE job (seq); CREATE TABLE picture (hash, job_seq, role);")
        db.execute("PRAGMA user_version = 3")


def link_to_itself(file: Path) -> None:
    with tarfile.open(file, "w") as archive:
        link = tarfile.TarInfo(FILE_NAME)
        link.type, link.linkname = tarfile.SYMTYPE, FILE_NAME
        archive.addfile(link)


def named_pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


@pytest.mark.parametrize(
    "damage",
    [
        truncate,
        write_text,
        empty_tar,
        Path.unlink,
        link_to_itself,
        named_pipe,
        pytest.param(edit(foreign_tables), id="tables of another program"),
        pytest.param(edit(other_pixels), id="a damaged picture"),
        pytest.param(edit(random_pages), id="a damaged database"),
        pytest.param(edit(newer_version), id="a newer version"),
    ],
)
async def test_a_damaged_backup_is_one_sentence_and_replaces_nothing(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    present = await filled(tmp_path / "data", 1)
    create(tmp_path / "data", tmp_path / "backup.tar")
    damage(tmp_path / "backup.tar")
    # The sentence names the backup, not a file that was unpacked for a moment.
    with pytest.raises(StartError, match=r"backup\.tar|newer bot"):
        restore(tmp_path / "backup.tar", tmp_path / "data")
    assert names_in(tmp_path / "data") <= {*DATA, "redraw.lock"}
    assert await jobs_in(tmp_path / "data") == [present]


def restore_and_die(file: Path, folder: Path, point: str) -> None:
    """Restore in this process, which kills itself at the failpoint."""

    def failpoint(name: str) -> None:
        if name == point:
            os.kill(os.getpid(), signal.SIGKILL)

    restore(file, folder, failpoint=failpoint)


POINTS = (
    *("unpacked", "marked", f"moved {FILE_NAME}", "moved pictures"),
    *("replaced pictures", f"replaced {FILE_NAME}"),
)


@pytest.mark.parametrize("point", POINTS)
async def test_a_killed_restore_loses_nothing_and_can_be_repeated(
    tmp_path: Path, point: str
) -> None:
    old = await filled(tmp_path / "old", 1)
    create(tmp_path / "old", tmp_path / "backup.tar")
    newer = await filled(tmp_path / "data", 2)
    process = FORKS.Process(
        target=restore_and_die, args=(tmp_path / "backup.tar", tmp_path / "data", point)
    )
    process.start()
    process.join(20)
    assert process.exitcode == -signal.SIGKILL
    if point == "unpacked":
        assert await jobs_in(tmp_path / "data") == [newer]
    else:
        with pytest.raises(StartError, match="was interrupted"):
            await jobs_in(tmp_path / "data")
    restore(tmp_path / "backup.tar", tmp_path / "data")
    assert await jobs_in(tmp_path / "data") == [old]
    assert not (tmp_path / "data" / RESTORE_MARKER).exists()
    assert not (tmp_path / "data" / UNPACKED_NAME).exists()
    # The files of the newer job, in one folder or two.
    databases = [*(tmp_path / "data").glob(f"replaced-*/{FILE_NAME}")]
    assert any(holds(path, newer) for path in databases)
    assert [*(tmp_path / "data").glob(f"replaced-*/pictures/{newer.source}.png")]


def holds(database: Path, one: Job) -> bool:
    with closing(sqlite3.connect(database)) as db:
        return bool(db.execute("SELECT 1 FROM job WHERE id = ?", (one.id,)).fetchone())
