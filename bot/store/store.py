"""The durable store: jobs in SQLite, pictures as files beside it. Every change is one transaction.

SQLite runs on one thread of its own. A change is one function on that thread, so that a task that
is cancelled while it waits leaves a whole transaction behind, never half of one.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import ParamSpec, Self, TypeVar

from bot.errors import StartError
from bot.jobs.job import Job, JobState
from bot.store.erasure import erase, scrub
from bot.store.picture_files import PictureFiles
from bot.store.rows import INSERT, job_pictures, job_row, result_role, row_job
from bot.store.schema import migrate

P = ParamSpec("P")
T = TypeVar("T")

RUNNABLE = (JobState.QUEUED, JobState.RUNNING)
UNFINISHED = (*RUNNABLE, JobState.MADE)


class StoreLocked(StartError):
    """Another process has this data directory open."""


class JobNotActive(Exception):
    """The job is not in a state that allows the change: cancelled, forgotten, or never there."""


def no_failpoint(_name: str) -> None:
    """Where nobody watches the points between two writes."""


class Store:
    """`async with Store.open(folder) as store`. One process at a time; safe for many tasks.

    `checkpoint` is called, on whichever thread, with the name of each point between two writes.
    Changing methods return the job as it is afterwards and raise `JobGone`.
    """

    def __init__(
        self,
        thread: ThreadPoolExecutor,
        db: sqlite3.Connection,
        pictures: PictureFiles,
        failpoint: Callable[[str], None],
    ) -> None:
        self._thread = thread
        self._db = db
        self._failpoint = failpoint
        self.pictures = pictures

    @classmethod
    @asynccontextmanager
    async def open(
        cls, folder: Path, *, failpoint: Callable[[str], None] = no_failpoint
    ) -> AsyncIterator[Self]:
        """Open or make the store in `folder` and hold it alone until the block is left.

        Raises:
            StoreLocked: another process holds it.
            StoreTooNew: a newer version of the bot wrote it.
            StartError: the folder cannot be written to.
        """
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1, "store") as thread:
            pictures, db = await loop.run_in_executor(thread, _open, folder, failpoint)
            store = cls(thread, db, pictures, failpoint)
            try:
                await store._run(store._sweep)
                yield store
            finally:
                await loop.run_in_executor(thread, db.close)

    async def discard(self, picture: str) -> None:
        """No job will name this picture after all: delete it, unless another job does."""
        self.pictures.named([picture])
        await self._run(self._delete_unnamed, [picture])

    async def accept(self, job: Job) -> None:
        """From here on the job survives whatever happens to the process."""
        await self._run(self._accept, job)

    async def job(self, job_id: str) -> Job | None:
        """The job, or None if it is not kept."""
        return await self._run(self._find, job_id)

    async def unanswered(self) -> list[Job]:
        """Every job whose person has no answer yet, in the order of their acceptance."""
        return await self._run(self._select, "finished_at IS NULL ORDER BY seq", ())

    async def jobs_of(self, user_id: int, limit: int = 1000) -> list[Job]:
        """A person's kept jobs, newest first."""
        return await self._run(
            self._select, "user_id = ? ORDER BY seq DESC LIMIT ?", (user_id, limit)
        )

    async def start(self, job_id: str, now: float) -> Job:
        """Begun, once more: one attempt is used up."""
        return await self._change(
            "start",
            job_id,
            RUNNABLE,
            "state = 'running', attempts = attempts + 1, started_at = ?",
            (now,),
        )

    async def requeue(self, job_id: str) -> Job:
        """Stopped through no fault of its own: it waits again, with its attempt given back."""
        return await self._change(
            "requeue", job_id, (JobState.RUNNING,), "state = 'queued', attempts = attempts - 1"
        )

    async def variant_made(
        self, job_id: str, number: int, result: str, *, ignored_prompt: str, depth: str | None
    ) -> Job:
        """One of the job's pictures is stored."""
        named = {result_role(number): result} | ({"depth": depth} if depth else {})
        return await self._change(
            "variant", job_id, (JobState.RUNNING,), "ignored_prompt = ?", (ignored_prompt,), named
        )

    async def made(self, job_id: str, now: float) -> Job:
        """All of the job's pictures are stored."""
        return await self._change(
            "made", job_id, (JobState.RUNNING,), "state = 'made', seconds = ? - started_at", (now,)
        )

    async def fail(self, job_id: str, sentence: str) -> Job:
        """It will not be made, or cannot be shown; `sentence` says why."""
        return await self._change(
            "fail", job_id, UNFINISHED, "state = 'failed', error = ?", (sentence,)
        )

    async def cancel(self, job_id: str) -> Job:
        """Its owner or a moderator ended it before it was made."""
        return await self._change("cancel", job_id, RUNNABLE, "state = 'cancelled'")

    async def posting(self, job_id: str, channel_id: int, now: float) -> Job:
        """The answer is about to be sent to that channel as a new message."""
        return await self._change(
            "posting",
            job_id,
            tuple(JobState),
            "post_channel_id = ?, post_since = ?",
            (channel_id, now),
        )

    async def answered(self, job_id: str, now: float) -> Job:
        """Its person has the pictures or the sentence. The interaction token is blanked."""
        return await self._change(
            "answered",
            job_id,
            (JobState.MADE, JobState.FAILED, JobState.CANCELLED, JobState.DELIVERED),
            "state = iif(state = 'made', 'delivered', state), finished_at = ?, token = NULL",
            (now,),
        )

    async def blank_expired_tokens(self, now: float) -> None:
        """An expired token opens nothing; it is not kept either."""
        await self._run(
            self._transact,
            "blank",
            "UPDATE job SET token = NULL WHERE token IS NOT NULL AND token_expires_at <= ?",
            (now,),
        )

    async def erase_before(self, moment: float) -> int:
        """Strip every job that was answered before `moment` to a count; how many."""
        return await self._run(self._erase, before=moment)

    async def erase_user(self, user_id: int) -> int:
        """Strip every job of a person to a count, answered or not; how many."""
        return await self._run(self._erase, user=user_id)

    async def erase_job(self, job_id: str) -> None:
        """Strip one job to a count."""
        await self._run(self._erase, job=job_id)

    async def gallery_of(self, guild_id: int) -> int | None:
        """The channel that a server named for sharing, if it did."""
        return await self._run(self._gallery_of, guild_id)

    async def set_gallery(self, guild_id: int, channel_id: int | None) -> None:
        """Name a server's channel for sharing, or none."""
        if channel_id is None:
            await self._run(
                self._transact, "gallery", "DELETE FROM gallery WHERE guild_id = ?", (guild_id,)
            )
        else:
            await self._run(
                self._transact,
                "gallery",
                "REPLACE INTO gallery VALUES (?, ?)",
                (guild_id, channel_id),
            )

    async def tally(self) -> dict[tuple[str, str], tuple[int, int]]:
        """What is left of forgotten jobs: (day, state) → (jobs, pictures)."""
        return await self._run(self._tally)

    async def _run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, lambda: work(*args, **kwargs))

    async def _change(
        self,
        name: str,
        job_id: str,
        allowed: tuple[JobState, ...],
        assignments: str,
        values: tuple[object, ...] = (),
        named: dict[str, str] | None = None,
    ) -> Job:
        marks = ", ".join("?" * len(allowed))
        statement = f"UPDATE job SET {assignments} WHERE id = ? AND state IN ({marks})"  # noqa: S608
        changed = await self._run(
            self._transact, name, statement, (*values, job_id, *allowed), job_id, named
        )
        if changed is None:
            raise JobNotActive(f"Job {job_id} is gone or past {name!r}.")
        return changed

    # From here on everything runs on the store's thread.

    def _transact(
        self,
        name: str,
        statement: str,
        values: tuple[object, ...],
        job_id: str | None = None,
        named: dict[str, str] | None = None,
    ) -> Job | None:
        self._failpoint(f"before {name}")
        with _Transaction(self._db):
            touched = self._db.execute(statement, values).rowcount
            if touched and named:
                self._name(job_id, named)
            self._failpoint(f"within {name}")
        self._failpoint(f"after {name}")
        self.pictures.named((named or {}).values())
        return self._find(job_id) if touched and job_id else None

    def _accept(self, job: Job) -> None:
        self._failpoint("before accept")
        with _Transaction(self._db):
            self._db.execute(INSERT, job_row(job))
            self._name(job.id, job_pictures(job))
            self._failpoint("within accept")
        self._failpoint("after accept")
        self.pictures.named(job_pictures(job).values())

    def _name(self, job_id: str | None, named: dict[str, str]) -> None:
        self._db.executemany(
            "INSERT OR REPLACE INTO picture SELECT seq, ?, ? FROM job WHERE id = ?",
            [(role, hash_, job_id) for role, hash_ in named.items()],
        )

    def _find(self, job_id: str) -> Job | None:
        found = self._select("id = ?", (job_id,))
        return found[0] if found else None

    def _select(self, where: str, values: tuple[object, ...]) -> list[Job]:
        rows = self._db.execute(f"SELECT * FROM job WHERE {where}", values)  # noqa: S608
        return [row_job(row, self._named(row["seq"])) for row in rows.fetchall()]

    def _named(self, seq: int) -> dict[str, str]:
        return dict(self._db.execute("SELECT role, hash FROM picture WHERE job_seq = ?", (seq,)))

    def _delete_unnamed(self, hashes: Iterable[str]) -> None:
        self.pictures.delete([hash_ for hash_ in hashes if not self._is_named(hash_)])

    def _is_named(self, hash_: str) -> bool:
        query = "SELECT 1 FROM picture WHERE hash = ? LIMIT 1"
        return self._db.execute(query, (hash_,)).fetchone() is not None

    def _erase(
        self, *, user: int | None = None, before: float | None = None, job: str | None = None
    ) -> int:
        self._failpoint("before erase")
        with _Transaction(self._db):
            erased, hashes = erase(self._db, self._failpoint, user=user, before=before, job=job)
        self._failpoint("after erase")
        self._delete_unnamed(hashes)
        if erased:
            scrub(self._db)
        return erased

    def _gallery_of(self, guild_id: int) -> int | None:
        query = "SELECT channel_id FROM gallery WHERE guild_id = ?"
        row = self._db.execute(query, (guild_id,)).fetchone()
        return row["channel_id"] if row else None

    def _tally(self) -> dict[tuple[str, str], tuple[int, int]]:
        rows = self._db.execute("SELECT day, state, jobs, pictures FROM tally")
        return {(row["day"], row["state"]): (row["jobs"], row["pictures"]) for row in rows}

    def _sweep(self) -> None:
        """A crash between a file and its row, or a row's end and its file's, leaves a stray; one
        right after eraseting leaves what was forgotten in the log."""
        scrub(self._db)
        self.pictures.keep_only(
            {hash_ for (hash_,) in self._db.execute("SELECT DISTINCT hash FROM picture")}
        )


class _Transaction:
    """`BEGIN IMMEDIATE` … `COMMIT`, or `ROLLBACK` on an error."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if not kind:
                self._db.execute("COMMIT")
        finally:
            # After a full disk SQLite has rolled back by itself, or has left it to us.
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")


def _open(
    folder: Path, failpoint: Callable[[str], None]
) -> tuple[PictureFiles, sqlite3.Connection]:
    try:
        pictures = PictureFiles(folder / "pictures", failpoint)
        db = sqlite3.connect(
            folder / "redraw.sqlite3", timeout=0.0, isolation_level=None, check_same_thread=False
        )
    except (OSError, sqlite3.OperationalError) as error:
        raise StartError(f"DATA_DIR {folder} cannot be written to: {error}.") from error
    try:
        db.row_factory = sqlite3.Row
        # Exclusive before the first access: the lock is then held until the process ends, however
        # it ends, and a second bot cannot even read (https://www.sqlite.org/wal.html#noshm).
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
    return pictures, db
