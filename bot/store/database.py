"""The SQLite database and the one thread that uses it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import ParamSpec, Self, TypeVar

from bot.errors import StartError
from bot.store.schema import migrate

P = ParamSpec("P")
T = TypeVar("T")

FILE_NAME = "redraw.sqlite3"


class StoreLocked(StartError):
    """Another process has this data directory open."""


def no_failpoint(_name: str) -> None:
    """The failpoint outside of tests: does nothing."""


class Database:
    """One connection on a thread of its own.

    Every change is one function on that thread: a task that is cancelled while it waits leaves a
    complete transaction behind. `failpoint` is called on that thread with the name of each point
    between two writes.
    """

    def __init__(
        self,
        thread: ThreadPoolExecutor,
        connection: sqlite3.Connection,
        failpoint: Callable[[str], None],
    ) -> None:
        self._thread = thread
        self.connection = connection
        self.failpoint = failpoint

    @classmethod
    @asynccontextmanager
    async def open(cls, folder: Path, failpoint: Callable[[str], None]) -> AsyncIterator[Self]:
        """Open or create the database in `folder`, exclusively.

        Raises:
            StoreLocked: another process has it open.
            StoreTooNew: a newer version of the bot wrote it.
            StartError: the folder cannot be written to.
        """
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1, "store") as thread:
            connection = await loop.run_in_executor(thread, _connect, folder)
            try:
                yield cls(thread, connection, failpoint)
            finally:
                await loop.run_in_executor(thread, connection.close)

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a function on the database's thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, lambda: work(*args, **kwargs))

    async def execute(self, name: str, statement: str, values: tuple[object, ...]) -> None:
        """Run one changing statement in a transaction; `name` names its failpoints."""

        def change() -> None:
            with self.transaction(name):
                self.connection.execute(statement, values)

        await self.run(change)

    @contextmanager
    def transaction(self, name: str) -> Iterator[None]:
        """`BEGIN IMMEDIATE` … `COMMIT`, or `ROLLBACK` on an error. On the database's thread."""
        self.failpoint(f"before {name}")
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.failpoint(f"within {name}")
            self.connection.execute("COMMIT")
        finally:
            # After some errors, such as a full disk, SQLite has already rolled back.
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
        self.failpoint(f"after {name}")


def _connect(folder: Path) -> sqlite3.Connection:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        db = sqlite3.connect(
            folder / FILE_NAME, timeout=0.0, isolation_level=None, check_same_thread=False
        )
    except (OSError, sqlite3.OperationalError) as error:
        raise StartError(f"DATA_DIR {folder} cannot be written to: {error}.") from error
    try:
        db.row_factory = sqlite3.Row
        # Set before the first access: the lock is then held until the process ends, and a second
        # process cannot even read (https://www.sqlite.org/wal.html#noshm).
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        with closing(db.execute("PRAGMA journal_mode = WAL")) as mode:
            mode.fetchone()
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA foreign_keys = ON")
        db.execute("PRAGMA secure_delete = ON")
        db.execute("BEGIN EXCLUSIVE")
        db.execute("COMMIT")
        migrate(db)
    except sqlite3.OperationalError as error:
        db.close()
        if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
            raise StoreLocked(
                f"Another bot is already running with DATA_DIR {folder}: stop it, or give this one "
                "a folder of its own."
            ) from error
        raise
    except BaseException:
        db.close()
        raise
    return db
