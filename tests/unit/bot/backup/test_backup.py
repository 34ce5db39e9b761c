"""A backup has one moment's state; a restore replaces everything or nothing, and keeps the rest."""

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
from typing import Any

import pytest

from bot.backup import create as creation
from bot.backup.create import create
from bot.backup.restore import DATA, restore
from bot.errors import StartError
from bot.jobs.job import Job
from bot.store.opening import FILE_NAME, RESTORE_MARKER, UNPACKED_NAME, StoreLocked
from bot.store.store import Store
from tests.support.processes.forks import FORKS
from tests.support.stores import accepted, filled


async def jobs_in(folder: Path) -> list[Job]:
    """The jobs of a closed store, whose pictures are intact."""
    async with Store.open(folder) as store:
        found = await store.unanswered()
        for one in found:
            await store.pictures.get(one.sources[0])
        return found


def content(file: Path) -> bytes:
    return file.read_bytes()


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


async def test_a_backup_of_a_running_bot_restores_its_jobs_and_pictures(tmp_path: Path) -> None:
    async with Store.open(tmp_path / "data") as store:
        jobs = [await accepted(store, number) for number in range(3)]
        await store.guild_settings.set_gallery(3, 9)
        contents = create(tmp_path / "data", tmp_path / "backup.tar")
        await accepted(store, 4)
    assert (contents.jobs, contents.pictures, contents.missing) == (3, 3, ())
    assert stat.S_IMODE((tmp_path / "backup.tar").stat().st_mode) == 0o600
    assert names_in(tmp_path) == {"backup.tar", "data"}
    restored = restore(tmp_path / "backup.tar", tmp_path / "new")
    assert restored.replaced is None
    assert await jobs_in(tmp_path / "new") == jobs
    async with Store.open(tmp_path / "new") as store:
        assert await store.guild_settings.gallery(3) == 9


async def test_jobs_that_are_erased_during_a_backup_are_not_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Store.open(tmp_path) as store:
        kept = await accepted(store, 1)
        await accepted(store, 2, user_id=8)
        add = creation._add

        def add_after_erasure(*args: Any) -> bool:
            monkeypatch.setattr(creation, "_add", add)
            store._erase(user=8)
            return add(*args)

        monkeypatch.setattr(creation, "_add", add_after_erasure)
        contents = create(tmp_path, tmp_path / "backup.tar")
    assert (contents.jobs, contents.missing) == (1, ())
    restore(tmp_path / "backup.tar", tmp_path / "new")
    assert await jobs_in(tmp_path / "new") == [kept]


async def test_what_is_erased_during_a_backup_is_overwritten_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite would otherwise only mark the pages as free."""
    prompt = "a secret prompt"
    async with Store.open(tmp_path) as store:
        await accepted(store, 1)
        await accepted(store, 2, user_id=8, prompt=prompt)
        add = creation._add

        def add_after_erasure(*args: Any) -> bool:
            store._erase(user=8)
            return add(*args)

        monkeypatch.setattr(creation, "_add", add_after_erasure)
        assert create(tmp_path, tmp_path / "backup.tar").jobs == 1
    assert prompt.encode() not in content(tmp_path / "backup.tar")


async def test_a_file_that_appears_during_a_backup_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await filled(tmp_path / "data", 1)
    file = tmp_path / "backup.tar"
    add = creation._add

    def add_while_a_file_appears(*args: Any) -> bool:
        file.write_text("another program's")
        return add(*args)

    monkeypatch.setattr(creation, "_add", add_while_a_file_appears)
    with pytest.raises(StartError, match="exists already"):
        create(tmp_path / "data", file)
    assert file.read_text() == "another program's"
    assert names_in(tmp_path) == {"backup.tar", "data"}


async def test_a_backup_says_which_pictures_have_no_file(tmp_path: Path) -> None:
    async with Store.open(tmp_path / "data") as store:
        one, _ = [await accepted(store, number) for number in range(2)]
    (tmp_path / "data" / "pictures" / f"{one.source}.png").unlink()
    contents = create(tmp_path / "data", tmp_path / "backup.tar")
    assert (contents.jobs, contents.pictures, contents.missing) == (2, 1, (one.source,))
    restored = restore(tmp_path / "backup.tar", tmp_path / "new")
    assert restored.contents.missing == (one.source,)


async def test_a_backup_replaces_no_file(tmp_path: Path) -> None:
    await filled(tmp_path / "data", 1)
    file = tmp_path / "backup.tar"
    create(tmp_path / "data", file)
    earlier = content(file)
    with pytest.raises(StartError, match="exists already"):
        create(tmp_path / "data", file)
    assert content(file) == earlier


async def test_files_of_a_killed_backup_do_not_disturb_the_next_one(tmp_path: Path) -> None:
    one = await filled(tmp_path / "data", 1)
    for name in ("backup.tar.part", "backup.tar.database.part"):
        write_text(tmp_path / name)
    create(tmp_path / "data", tmp_path / "backup.tar")
    assert names_in(tmp_path) == {"backup.tar", "data"}
    restore(tmp_path / "backup.tar", tmp_path / "new")
    assert await jobs_in(tmp_path / "new") == [one]


@pytest.mark.parametrize("place", ["no store", "no folder for the file"])
async def test_a_backup_that_is_not_possible_is_one_sentence(tmp_path: Path, place: str) -> None:
    if place == "no folder for the file":
        await filled(tmp_path / "data", 1)
    file = tmp_path / "missing" / "backup.tar" if place != "no store" else tmp_path / "backup.tar"
    with pytest.raises(StartError):
        create(tmp_path / "data", file)
    assert names_in(tmp_path) <= {"data"}


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
