"""The durable memory of jobs: SQLite in WAL mode, every change one transaction."""

from __future__ import annotations

import asyncio
import dataclasses
import fcntl
import logging
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, Any

import aiosqlite
from pydantic import TypeAdapter

from bot.errors import StartError
from bot.jobs.job import Job
from bot.jobs.pictures import PictureFiles

log = logging.getLogger(__name__)

# Applied in order; `PRAGMA user_version` counts how many have been.
MIGRATIONS = (
    """
    CREATE TABLE jobs (
        id TEXT PRIMARY KEY,
        user_id INTEGER NOT NULL,
        state TEXT NOT NULL,
        answered INTEGER NOT NULL,
        created_at REAL NOT NULL,
        finished_at REAL,
        token TEXT,
        body TEXT NOT NULL
    ) STRICT;
    CREATE INDEX jobs_by_state ON jobs (state, answered);
    CREATE INDEX jobs_by_user ON jobs (user_id, created_at);
    CREATE TABLE counts (
        day TEXT NOT NULL,
        state TEXT NOT NULL,
        jobs INTEGER NOT NULL,
        PRIMARY KEY (day, state)
    ) STRICT;
    """,
    """
    CREATE TABLE galleries (guild_id INTEGER PRIMARY KEY, channel_id INTEGER NOT NULL) STRICT;
    """,
)
_JOB = TypeAdapter(Job)


class StoreLocked(StartError):
    """Another process has this data directory open."""


class Store:
    """Jobs and their pictures below one folder. Made by `Store.open`."""

    def __init__(self, database: aiosqlite.Connection, pictures: PictureFiles) -> None:
        self._database = database
        self.pictures = pictures
        # One change at a time: a change reads the row that it writes.
        self._changing = asyncio.Lock()

    @classmethod
    @asynccontextmanager
    async def open(cls, folder: Path) -> AsyncIterator[Store]:
        """The store in `folder`, made if need be, locked against any other process.

        Raises:
            StoreLocked: another process has it open.
            StartError: the folder cannot be written to.
        """
        with await asyncio.to_thread(_lock, folder):
            path = folder / "redraw.sqlite3"
            async with aiosqlite.connect(path, isolation_level=None) as database:
                await _prepare(database)
                store = cls(database, PictureFiles(folder / "pictures"))
                await store.sweep()
                yield store

    async def accept(self, job: Job) -> None:
        """Remember a new job: from here on it will be answered."""
        await self._write(job, "INSERT INTO jobs VALUES (?, ?, ?, ?, ?, ?, ?, ?)")

    async def change(self, job_id: str, **fields: Any) -> Job:
        """Change fields of a job in one transaction; the job as it is now.

        The interaction token is blanked once the job is answered: nothing needs it any more.

        Raises:
            KeyError: no such job.
        """
        async with self._changing:
            job = await self.job(job_id)
            if job is None:
                raise KeyError(job_id)
            job = dataclasses.replace(job, **fields)
            if job.answered:
                blank = dataclasses.replace(job.destination, token=None)
                job = dataclasses.replace(job, destination=blank)
            await self._write(job, "REPLACE INTO jobs VALUES (?, ?, ?, ?, ?, ?, ?, ?)")
            return job

    async def job(self, job_id: str) -> Job | None:
        """The job, or None if it was never accepted or has been forgotten."""
        found = await self._jobs("WHERE id = ?", (job_id,))
        return found[0] if found else None

    async def unanswered(self) -> list[Job]:
        """Every job that somebody still waits for, oldest first."""
        return await self._jobs("WHERE answered = 0 ORDER BY created_at, rowid", ())

    async def jobs_of(self, user_id: int, limit: int = 1000) -> list[Job]:
        """A person's jobs, newest first."""
        return await self._jobs(
            "WHERE user_id = ? ORDER BY created_at DESC, rowid DESC LIMIT ?", (user_id, limit)
        )

    async def forget_before(self, moment: float) -> int:
        """Forget answered jobs that were finished before `moment` (seconds since the epoch);
        only how many there were on which day is kept. How many were forgotten."""
        jobs = await self._jobs("WHERE answered = 1 AND finished_at < ?", (moment,))
        await self._forget(jobs)
        return len(jobs)

    async def forget_user(self, user_id: int) -> int:
        """Forget every job of a person that is answered; how many."""
        jobs = await self._jobs("WHERE user_id = ? AND answered = 1", (user_id,))
        await self._forget(jobs)
        return len(jobs)

    async def forget_job(self, job_id: str) -> None:
        """Forget one answered job."""
        await self._forget(await self._jobs("WHERE id = ? AND answered = 1", (job_id,)))

    async def gallery_of(self, guild_id: int) -> int | None:
        """The channel that a server named for sharing, if it did."""
        query = "SELECT channel_id FROM galleries WHERE guild_id = ?"
        async with self._database.execute(query, (guild_id,)) as rows:
            row = await rows.fetchone()
        return row[0] if row else None

    async def set_gallery(self, guild_id: int, channel_id: int | None) -> None:
        """Name a server's channel for sharing, or none."""
        if channel_id is None:
            await self._database.execute("DELETE FROM galleries WHERE guild_id = ?", (guild_id,))
        else:
            await self._database.execute(
                "REPLACE INTO galleries VALUES (?, ?)", (guild_id, channel_id)
            )

    async def counts(self) -> dict[tuple[str, str], int]:
        """(day, state) → how many forgotten jobs."""
        async with self._database.execute("SELECT day, state, jobs FROM counts") as rows:
            return {(day, state): jobs async for day, state, jobs in rows}

    async def sweep(self) -> None:
        """Delete picture files that no job names: a crash can leave one behind."""
        named = await self._named()
        swept = await asyncio.to_thread(self.pictures.keep_only, named)
        if swept:
            log.info("swept %d picture files that no job names", swept)

    async def _named(self) -> set[str]:
        return {name for job in await self._jobs("", ()) for name in job.pictures}

    async def _forget(self, jobs: Iterable[Job]) -> None:
        jobs = list(jobs)
        if not jobs:
            return
        async with self._changing:
            await self._database.execute("BEGIN IMMEDIATE")
            for job in jobs:
                day = time.strftime("%Y-%m-%d", time.gmtime(job.created_at))
                await self._database.execute(
                    "INSERT INTO counts VALUES (?, ?, 1) ON CONFLICT DO UPDATE SET jobs = jobs + 1",
                    (day, job.state),
                )
                await self._database.execute("DELETE FROM jobs WHERE id = ?", (job.id,))
            await self._database.execute("COMMIT")
            # The write-ahead log still holds what was deleted, until it is emptied.
            await self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        gone = {name for job in jobs for name in job.pictures} - await self._named()
        await asyncio.to_thread(self.pictures.delete, gone)

    async def _jobs(self, where: str, values: tuple[Any, ...]) -> list[Job]:
        query = f"SELECT body, token FROM jobs {where}"  # noqa: S608 - `where` is ours
        async with self._database.execute(query, values) as rows:
            return [_load(body, token) async for body, token in rows]

    async def _write(self, job: Job, statement: str) -> None:
        destination = job.destination
        bare = dataclasses.replace(job, destination=dataclasses.replace(destination, token=None))
        await self._database.execute(
            statement,
            (
                job.id,
                job.user_id,
                job.state,
                job.answered,
                job.created_at,
                job.finished_at,
                destination.token,
                _JOB.dump_json(bare).decode(),
            ),
        )


def _load(body: str, token: str | None) -> Job:
    job = _JOB.validate_json(body)
    return dataclasses.replace(job, destination=dataclasses.replace(job.destination, token=token))


def _lock(folder: Path) -> IO[str]:
    """The open lock file; the lock goes with it, also when the process is killed."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "lock").open("w")
    except OSError as error:
        raise StartError(f"DATA_DIR {folder} cannot be written to: {error.strerror}.") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise StoreLocked(
            f"Another bot is already running with DATA_DIR {folder}: stop it, or give this one "
            "a folder of its own."
        ) from error
    return lock


async def _prepare(database: aiosqlite.Connection) -> None:
    await database.execute("PRAGMA journal_mode = WAL")
    # A transaction that was reported as done survives a power cut.
    await database.execute("PRAGMA synchronous = FULL")
    # What is deleted is overwritten.
    await database.execute("PRAGMA secure_delete = ON")
    async with database.execute("PRAGMA user_version") as rows:
        row = await rows.fetchone()
    version = row[0] if row else 0
    for number, migration in enumerate(MIGRATIONS[version:], start=version + 1):
        await database.executescript(f"BEGIN; {migration} PRAGMA user_version = {number}; COMMIT;")
