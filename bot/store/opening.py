"""Locks the data folder and opens the database file: permissions, integrity, migration."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from bot.errors import StartError
from bot.store.schema import VERSION, has_tables, migrate, version_of

FILE_NAME = "redraw.sqlite3"
# Its lock is released by the system when the process ends.
LOCK_NAME = "redraw.lock"
COPY_NAME = FILE_NAME + ".version-{version}.bak"
# Seconds to wait for another process, such as a backup, to finish reading.
BUSY_SECONDS = 2.0
# Exists while a restore replaces files, so that no bot starts with a part of them.
RESTORE_MARKER = "restore-incomplete"
# A restore's unpacked backup, and the data that it has replaced.
UNPACKED_NAME = "restore-unpacked"
REPLACED_NAME = "replaced-{time}"
# A folder and files that only the bot's own user can read, whatever the umask.
FOLDER_MODE, FILE_MODE = 0o700, 0o600
OTHER_TABLES = "its tables are not those of a job store"
NOT_WRITABLE = {
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_READONLY,
}


class StoreLocked(StartError):
    """Another process has this data directory open."""

    def __init__(self, folder: Path) -> None:
        super().__init__(
            f"Another bot is already running with DATA_DIR {folder}: stop it, or give this one "
            "a folder of its own."
        )


class StoreDamaged(StartError):
    """The file is damaged, or is not a job store."""

    def __init__(self, path: Path, detail: str) -> None:
        self.detail = detail
        super().__init__(
            f"{path} is damaged or is not a job store ({detail}). Restore a copy of it, or move it "
            "away: the bot then starts with an empty one."
        )


def private_folder(folder: Path) -> None:
    """Create the folder if there is none; only its owner may use it."""
    folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    # Another owner's folder keeps its mode.
    with suppress(PermissionError):
        folder.chmod(FOLDER_MODE)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of the data folder, which is created if there is none. May be left in another
    thread.

    Raises:
        StoreLocked: another process holds it.
        StartError: the folder cannot be written to.
    """
    lock = FileLock(folder / LOCK_NAME, timeout=0.0, mode=FILE_MODE, thread_local=False)
    try:
        private_folder(folder)
        lock.acquire()
    except Timeout as error:
        raise StoreLocked(folder) from error
    except OSError as error:
        raise not_writable(folder, error) from error
    try:
        yield
    finally:
        lock.release()


def connect(folder: Path) -> sqlite3.Connection:
    """Open or create the database in `folder` at the present schema version. The caller holds the
    folder's lock.

    Raises:
        StoreLocked: a bot of version 0.1 has it open, which has no lock file.
        StoreTooNew: a newer version of the bot wrote it.
        StoreDamaged: the file is damaged, or is not a job store.
        StartError: the folder cannot be written to.
    """
    path = folder / FILE_NAME
    if (folder / RESTORE_MARKER).exists():
        raise StartError(
            f"The last restore into DATA_DIR {folder} was interrupted. Run `python -m bot restore` "
            "again; until then the bot does not start, because some files are missing."
        )
    try:
        private_folder(folder)
        # Left by a restore that was interrupted before it replaced anything.
        shutil.rmtree(folder / UNPACKED_NAME, ignore_errors=True)
        private_file(path)
        db = sqlite3.connect(
            path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
    except (OSError, sqlite3.OperationalError) as error:
        raise not_writable(folder, error) from error
    try:
        _prepare(db, path)
    except sqlite3.OperationalError as error:
        db.close()
        # The lower byte of an extended result code: https://www.sqlite.org/rescode.html
        code = error.sqlite_errorcode & 0xFF
        if code == sqlite3.SQLITE_BUSY:
            raise StoreLocked(folder) from error
        if code in NOT_WRITABLE:
            raise not_writable(folder, error) from error
        raise
    except sqlite3.DatabaseError as error:
        db.close()
        raise StoreDamaged(path, str(error)) from error
    except BaseException:
        db.close()
        raise
    return db


def sync_folder(folder: Path) -> None:
    """Make new directory entries durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def not_writable(folder: Path, error: Exception) -> StartError:
    """The sentence for a folder that cannot be used."""
    return StartError(
        f"DATA_DIR {folder} cannot be written to: {error}. Check its owner, permissions and "
        "free space, or choose another DATA_DIR."
    )


def _prepare(db: sqlite3.Connection, path: Path) -> None:
    db.row_factory = sqlite3.Row
    # Before the first change: a file that is not the bot's stays as it is.
    [(result,), *_] = db.execute("PRAGMA quick_check(1)").fetchall()
    if result != "ok":
        raise StoreDamaged(path, result)
    tables = {name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    version = version_of(db)
    if (version or tables) and not has_tables(db, version):
        raise StoreDamaged(path, OTHER_TABLES)
    with closing(db.execute("PRAGMA journal_mode = WAL")) as mode:
        mode.fetchone()
    db.execute("PRAGMA synchronous = FULL")
    db.execute("PRAGMA foreign_keys = ON")
    db.execute("PRAGMA secure_delete = ON")
    if 0 < version < VERSION:
        _back_up(db, path.with_name(COPY_NAME.format(version=version)))
    migrate(db)


def delete_copies(folder: Path, *, older_than: float | None = None) -> None:
    """Delete the copies that were made before migrations, and the data that a restore replaced:
    they hold data that is being erased.

    `older_than`, in seconds since the epoch, keeps newer ones.
    """
    copies = folder.glob(COPY_NAME.format(version="*"))
    for copy in (*copies, *folder.glob(REPLACED_NAME.format(time="*"))):
        if older_than is not None and copy.stat().st_mtime >= older_than:
            continue
        if copy.is_dir():
            shutil.rmtree(copy)
        else:
            copy.unlink()


def _back_up(db: sqlite3.Connection, copy: Path) -> None:
    copy.unlink(missing_ok=True)
    private_file(copy)
    with closing(sqlite3.connect(copy)) as target:
        db.backup(target)


def private_file(path: Path) -> None:
    """Create the file if there is none. SQLite gives its side files the same mode."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, FILE_MODE))
    with suppress(PermissionError):
        path.chmod(FILE_MODE)
