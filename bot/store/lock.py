"""One process per data folder: a lock file, which the system releases when the process ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from bot.store.opening import FILE_MODE, StoreLocked, not_writable, private_folder

LOCK_NAME = "redraw.lock"


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
