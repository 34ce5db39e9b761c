"""The durable store: jobs in SQLite, pictures as files. Each change is one transaction."""

from __future__ import annotations

import shutil
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

from bot.errors import JobNotActive
from bot.jobs.budgets import Charge
from bot.jobs.job import Job, JobState
from bot.store.database import Database, full_disk_as_storage_full, no_failpoint
from bot.store.erasure import PARENT, erase, scrub, unnamed
from bot.store.favourites import Favourites
from bot.store.guild_settings import GuildSettings
from bot.store.ledger import Ledger, charge_job, count_request, prepare_connection
from bot.store.opening import delete_copies, not_writable
from bot.store.operator_state import OperatorState
from bot.store.picture_files import PictureFiles
from bot.store.rows import INSERT, job_pictures, job_row, result_role, select_jobs
from bot.store.sharing import Sharing
from bot.store.user_defaults import UserDefaultsTable

RUNNABLE = (JobState.QUEUED, JobState.RUNNING)
UNFINISHED = (*RUNNABLE, JobState.MADE)
BOT_DIED = (
    "state = 'queued', request = json_set(request, '$.bot_deaths', "
    "coalesce(json_extract(request, '$.bot_deaths'), 0) + 1)"
)
FAIL = "state = 'failed', error = ?, request = json_set(request, '$.case_id', ?)"


class Store:
    """`async with Store.open(folder) as store`. One process at a time; safe for many tasks.

    Changing methods return the job as it is afterwards and raise `JobNotActive`.
    """

    def __init__(self, folder: Path, db: Database, pictures: PictureFiles) -> None:
        self._folder = folder
        self.database = self._db = db
        self.pictures = pictures
        self.guild_settings = GuildSettings(db)
        self.sharing = Sharing(db)
        self.user_defaults = UserDefaultsTable(db)
        self.favourites = Favourites(db)
        self.ledger = Ledger(db)
        self.operator_state = OperatorState(db)
        # Whether the database's log is free of erased rows.
        self._scrubbed = False

    @classmethod
    @asynccontextmanager
    async def open(
        cls, folder: Path, *, failpoint: Callable[[str], None] = no_failpoint
    ) -> AsyncIterator[Self]:
        """Open or create the store in `folder`, which is locked until this block is left.

        `failpoint` is called, on any thread, with the name of each point between two writes.

        Raises:
            StoreLocked: another process has it open.
            StoreTooNew: a newer version of the bot wrote it.
            StoreDamaged: the database is damaged, or is not a job store.
            StartError: the folder cannot be written to.
        """
        async with Database.open(folder, failpoint) as db:
            try:
                pictures = PictureFiles(folder / "pictures", failpoint)
                store = cls(folder, db, pictures)
                await db.run(prepare_connection, db.connection)
                await db.run(store._sweep)
            except OSError as error:
                raise not_writable(folder, error) from error
            yield store

    def free_bytes(self) -> int:
        """The free space on the disk with the jobs and pictures."""
        return shutil.disk_usage(self._folder).free

    async def discard(self, picture: str) -> None:
        """Delete a picture that no job will name, unless another job names it."""
        self.pictures.named([picture])
        await self._db.run(self._delete_unnamed, [picture])

    async def accept(self, job: Job) -> None:
        """Store a new job. From here on it survives the end of the process."""
        await self._db.run(self._accept, job)

    async def job(self, job_id: str) -> Job | None:
        """The job, or None if it is not stored."""
        return await self._db.run(self._find, job_id)

    async def unanswered(self) -> list[Job]:
        """Every job whose user has no answer yet, in the order of acceptance."""
        return await self._db.run(self._select, "finished_at IS NULL ORDER BY seq", ())

    async def jobs_of(self, user_id: int, limit: int = 1000) -> list[Job]:
        """A user's stored jobs, newest first."""
        return await self._db.run(
            self._select, "user_id = ? ORDER BY seq DESC LIMIT ?", (user_id, limit)
        )

    async def children_of(self, job_id: str, limit: int = 100) -> list[Job]:
        """The jobs that were made from this one, oldest first."""
        return await self._db.run(
            self._select, f"{PARENT} = ? ORDER BY seq LIMIT ?", (job_id, limit)
        )

    async def start(self, job_id: str, now: float) -> Job:
        """The job is started."""
        return await self._change(
            "start", job_id, RUNNABLE, "state = 'running', started_at = ?", (now,)
        )

    async def requeue(self, job_id: str) -> Job:
        """The bot stopped the job: it waits again."""
        return await self._change("requeue", job_id, (JobState.RUNNING,), "state = 'queued'")

    async def bot_died(self, job_id: str) -> Job:
        """The bot's process ended while the job ran: it waits again, and the end is counted."""
        return await self._change("bot death", job_id, (JobState.RUNNING,), BOT_DIED)

    async def worker_died(self, job_id: str) -> Job:
        """The worker process died while the job ran: it waits again, with one attempt used up."""
        return await self._change(
            "death", job_id, (JobState.RUNNING,), "state = 'queued', attempts = attempts + 1"
        )

    async def variant_made(
        self,
        job_id: str,
        number: int,
        result: str,
        *,
        ignored_prompt: str,
        depth: str | None,
        charge: Charge | None = None,
    ) -> Job:
        """One of the job's pictures is stored, and charged to its user and server."""
        named = {result_role(number): result} | ({"depth": depth} if depth else {})
        values = (ignored_prompt,)
        return await self._change(
            "variant", job_id, (JobState.RUNNING,), "ignored_prompt = ?", values, named, charge
        )

    async def made(self, job_id: str, seconds: float) -> Job:
        """All of the job's pictures are stored; the last attempt took `seconds`."""
        return await self._change(
            "made", job_id, (JobState.RUNNING,), "state = 'made', seconds = ?", (seconds,)
        )

    async def fail(
        self, job_id: str, sentence: str, case_id: int | None = None, charge: Charge | None = None
    ) -> Job:
        """The job has no picture to show; `sentence` says why, `case_id` what may be appealed.
        `charge` is for a picture that was made and refused."""
        values = (sentence, case_id)
        return await self._change("fail", job_id, UNFINISHED, FAIL, values, charge=charge)

    async def cancel(
        self, job_id: str, charge_for: Callable[[Job], Charge | None] | None = None
    ) -> Job:
        """The owner or a moderator ended the job before it was made.

        `charge_for` gives the charge for the steps that ran. It is called within the transaction,
        on the database's thread, so that no picture is charged twice.
        """
        return await self._change(
            "cancel", job_id, RUNNABLE, "state = 'cancelled'", charge=charge_for
        )

    async def posting(self, job_id: str, channel_id: int, now: float) -> Job:
        """The answer is about to be sent to that channel as a new message."""
        assignments = "post_channel_id = ?, post_since = ?"
        values = (channel_id, now)
        return await self._change("posting", job_id, tuple(JobState), assignments, values)

    async def answered(self, job_id: str, now: float) -> Job:
        """The user has the pictures or the sentence. The interaction token is deleted."""
        return await self._change(
            "answered",
            job_id,
            (JobState.MADE, JobState.FAILED, JobState.CANCELLED, JobState.DELIVERED),
            "state = iif(state = 'made', 'delivered', state), finished_at = ?, token = NULL",
            (now,),
        )

    async def erase_before(self, moment: float, guild_id: int | None = None) -> int:
        """Reduce every job that was answered before `moment` (in one server) to a count, except
        favourites of their own users, of which the inputs are deleted; how many."""
        return await self._db.run(self._erase, before=moment, guild=guild_id)

    async def erase_user(self, user_id: int) -> int:
        """Reduce every job of a user to a count, answered or not, and delete their defaults and
        favourites, and the inputs that other users took from these jobs; how many jobs."""
        return await self._db.run(self._erase, user=user_id)

    async def erase_job(self, job_id: str) -> None:
        """Reduce one job to a count."""
        await self._db.run(self._erase, job=job_id)

    async def _change(
        self,
        name: str,
        job_id: str,
        allowed: tuple[JobState, ...],
        assignments: str,
        values: tuple[object, ...] = (),
        named: dict[str, str] | None = None,
        charge: Charge | Callable[[Job], Charge | None] | None = None,
    ) -> Job:
        marks = ", ".join("?" * len(allowed))
        statement = f"UPDATE job SET {assignments} WHERE id = ? AND state IN ({marks})"  # noqa: S608
        changed = await self._db.run(
            self._transact,
            name,
            job_id,
            statement,
            (*values, job_id, *allowed),
            named or {},
            charge,
        )
        if changed is None:
            raise JobNotActive(f"Job {job_id} is erased or past {name!r}.")
        return changed

    # Everything below runs on the database's thread.

    def _transact(
        self,
        name: str,
        job_id: str,
        statement: str,
        values: tuple[object, ...],
        named: dict[str, str],
        charge: Charge | Callable[[Job], Charge | None] | None = None,
    ) -> Job | None:
        with self._db.transaction(name):
            if not self._db.connection.execute(statement, values).rowcount:
                return None
            self._name(job_id, named)
            job = self._find(job_id)
            due = charge(job) if job is not None and callable(charge) else charge
            if isinstance(due, Charge):
                charge_job(self._db.connection, job_id, due)
        self.pictures.named(named.values())
        return job

    def _accept(self, job: Job) -> None:
        with self._db.transaction("accept"):
            self._db.connection.execute(INSERT, job_row(job))
            self._name(job.id, job_pictures(job))
            count_request(self._db.connection, job)
        self.pictures.named(job_pictures(job).values())

    def _name(self, job_id: str, named: dict[str, str]) -> None:
        self._db.connection.executemany(
            "INSERT OR REPLACE INTO picture SELECT seq, ?, ? FROM job WHERE id = ?",
            [(role, hash_, job_id) for role, hash_ in named.items()],
        )

    def _find(self, job_id: str) -> Job | None:
        found = self._select("id = ?", (job_id,))
        return found[0] if found else None

    def _select(self, where: str, values: tuple[object, ...]) -> list[Job]:
        return select_jobs(self._db.connection, where, values)

    def _delete_unnamed(self, hashes: Iterable[str]) -> None:
        self.pictures.delete(unnamed(self._db.connection, hashes))

    def _erase(self, before: float | None = None, **chosen: Any) -> int:
        with self._db.transaction("erase"):
            erased, hashes = erase(self._db.connection, before=before, **chosen)
        self._delete_unnamed(hashes)
        delete_copies(self._folder, older_than=before)
        if erased or hashes or "user" in chosen or not self._scrubbed:
            with full_disk_as_storage_full():
                self._scrubbed = scrub(self._db.connection)
        return erased

    def _sweep(self) -> None:
        """Delete what a crash left: a file without a row, and erased rows in the log. End
        unanswered jobs that cannot be read: their users cannot be told."""
        self._scrubbed = scrub(self._db.connection)
        readable = {job.id for job in self._select("finished_at IS NULL", ())}
        open_ids = self._db.connection.execute("SELECT id FROM job WHERE finished_at IS NULL")
        unreadable = [(time.time(), id_) for (id_,) in open_ids.fetchall() if id_ not in readable]
        with self._db.transaction("sweep"):
            self._db.connection.executemany(
                "UPDATE job SET state = 'failed', finished_at = ?, token = NULL WHERE id = ?",
                unreadable,
            )
        rows = self._db.connection.execute("SELECT DISTINCT hash FROM picture")
        self.pictures.keep_only({hash_ for (hash_,) in rows})
