"""The SQLite database: one connection on a thread of its own."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import ParamSpec, Self, TypeVar

from bot.errors import StorageFull
from bot.store.opening import connect, locked

P = ParamSpec("P")
T = TypeVar("T")


def no_failpoint(_name: str) -> None:
    """The failpoint outside of tests: does nothing."""


class Database:
    """The open database.

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
        """Open or create the database in `folder`, which is locked until this block is left.

        Raises:
            StoreLocked: another process has locked it.
            StoreTooNew: a newer version of the bot wrote it.
            StoreDamaged: the file is damaged, or is not a job store.
            StartError: the folder cannot be written to.
        """
        loop = asyncio.get_running_loop()
        with locked(folder), ThreadPoolExecutor(1, "store") as thread:
            connection = await loop.run_in_executor(thread, connect, folder)
            try:
                yield cls(thread, connection, failpoint)
            finally:
                await loop.run_in_executor(thread, connection.close)

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a function on the database's thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, lambda: work(*args, **kwargs))

    async def execute(
        self, name: str, statement: str, values: tuple[object, ...] | Mapping[str, object]
    ) -> int:
        """Run one changing statement in a transaction; how many rows it changed. `name` names
        its failpoints."""

        def change() -> int:
            with self.transaction(name):
                return self.connection.execute(statement, values).rowcount

        return await self.run(change)

    @contextmanager
    def transaction(self, name: str) -> Iterator[None]:
        """`BEGIN IMMEDIATE` … `COMMIT`, or `ROLLBACK` on an error. On the database's thread.

        Raises:
            StorageFull: there is no space; nothing was changed.
        """
        self.failpoint(f"before {name}")
        with full_disk_as_storage_full():
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


@contextmanager
def full_disk_as_storage_full() -> Iterator[None]:
    """Turn SQLite's error about a full disk into `StorageFull`."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_FULL:
            raise StorageFull from error
        raise
