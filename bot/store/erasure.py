"""Erasure: reduces jobs to counts, in the database's pages and in its log."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping

from bot.jobs.job import DELETED
from bot.store.database import Database

# The same expression as that of the index `job_parent`.
PARENT = "iif(json_valid(request), json_extract(request, '$.parent_id'), NULL)"
# A NULL parameter compares to nothing. `guild` narrows `before` to one server.
EXPIRED = """
    finished_at < :before AND (:guild IS NULL OR :guild =
        iif(json_valid(request), json_extract(request, '$.destination.guild_id'), NULL)
    )
"""
FAVOURITE = """
    EXISTS (SELECT 1 FROM favourite WHERE job_seq = job.seq AND favourite.user_id = job.user_id)
"""
# Each call sets one of `user`, `job` and `before`. After the retention time a job stays while it
# is a favourite of its own user.
CHOSEN = f"user_id = :user OR id = :job OR {EXPIRED} AND NOT {FAVOURITE}"
HASHES = f"SELECT DISTINCT hash FROM picture JOIN job ON seq = job_seq WHERE {CHOSEN}"  # noqa: S608
TALLY = f"""
    INSERT INTO tally
    SELECT date(created_at, 'unixepoch'), state, count(DISTINCT seq), count(hash)
    FROM job LEFT JOIN picture ON seq = job_seq AND role LIKE 'result%'
    WHERE {CHOSEN}
    GROUP BY 1, 2
    ON CONFLICT DO UPDATE SET jobs = jobs + excluded.jobs, pictures = pictures + excluded.pictures
"""  # noqa: S608
DELETE = f"DELETE FROM job WHERE {CHOSEN}"  # noqa: S608
# Conditions for pictures that are deleted although their jobs stay. The first: the inputs of
# favourites after the retention time.
INPUTS_OF_FAVOURITES = f"""
    role NOT LIKE 'result%' AND job_seq IN (SELECT seq FROM job WHERE {EXPIRED} AND {FAVOURITE})
"""  # noqa: S608
# The inputs of other users' jobs that came from the erased user's jobs. An input that the other
# user uploaded, or that was a result of theirs, is their own.
INPUTS_FROM_USER = f"""
    role NOT LIKE 'result%'
    AND hash IN (SELECT hash FROM picture JOIN job ON seq = job_seq WHERE user_id = :user)
    AND job_seq IN (
        SELECT seq FROM job AS taker WHERE user_id != :user AND {PARENT} IS NOT NULL
        AND NOT EXISTS (
            SELECT 1 FROM picture AS own JOIN job ON seq = own.job_seq
            WHERE own.hash = picture.hash AND user_id = taker.user_id
            AND ({PARENT} IS NULL OR own.role LIKE 'result%')
        )
    )
"""  # noqa: S608
# A depth map shows the inputs.
DEPTH_OF_DELETED = """
    role = 'depth' AND EXISTS (
        SELECT 1 FROM picture AS other WHERE other.job_seq = picture.job_seq AND other.hash = ''
    )
"""
# The other stored data of a user.
DELETE_OF_USER = (
    "DELETE FROM favourite WHERE user_id = :user",
    "DELETE FROM user_defaults WHERE user_id = :user",
)


def erase(
    db: sqlite3.Connection,
    *,
    user: int | None = None,
    before: float | None = None,
    job: str | None = None,
    guild: int | None = None,
) -> tuple[int, set[str]]:
    """Within a transaction: count and delete a user's jobs, jobs answered before a moment (in one
    server or in all), or one job. A user's defaults and favourites are deleted with their jobs.

    The inputs of a kept favourite are deleted after the retention time, and those that other users
    took from the user's jobs with these jobs; their hashes become `bot.jobs.job.DELETED`.

    Returns the number of jobs, and the content hashes that are named less often now.
    """
    chosen = {"user": user, "before": before, "job": job, "guild": guild}
    hashes = {hash_ for (hash_,) in db.execute(HASHES, chosen) if hash_ != DELETED}
    for condition in (INPUTS_OF_FAVOURITES, INPUTS_FROM_USER, DEPTH_OF_DELETED):
        hashes |= _delete_inputs(db, condition, chosen)
    db.execute(TALLY, chosen)
    if user is not None:
        for statement in DELETE_OF_USER:
            db.execute(statement, {"user": user})
    return db.execute(DELETE, chosen).rowcount, hashes


def _delete_inputs(
    db: sqlite3.Connection, condition: str, chosen: Mapping[str, object]
) -> set[str]:
    """Remove the names of these pictures from their jobs; returns the names."""
    where = f"hash != '' AND {condition}"
    query = f"SELECT DISTINCT hash FROM picture WHERE {where}"  # noqa: S608
    hashes = {hash_ for (hash_,) in db.execute(query, chosen)}
    if hashes:
        db.execute(f"UPDATE picture SET hash = '' WHERE {where}", chosen)  # noqa: S608
    return hashes


def unnamed(db: sqlite3.Connection, hashes: Iterable[str]) -> list[str]:
    """Those of the content hashes that no job names."""
    query = "SELECT 1 FROM picture WHERE hash = ? LIMIT 1"
    return [hash_ for hash_ in hashes if db.execute(query, (hash_,)).fetchone() is None]


def scrub(db: sqlite3.Connection) -> bool:
    """Write the log back and truncate it: it still holds erased rows. `secure_delete` has zeroed
    the freed pages of the database itself.

    False if another process, such as a backup, reads the log: try again later.
    """
    busy, _, _ = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    return not busy


async def last_activity(db: Database) -> float | None:
    """When the newest job was accepted or answered; None without jobs."""

    def query() -> float | None:
        statement = "SELECT max(max(created_at), max(coalesce(finished_at, 0))) FROM job"
        moment: float | None = db.connection.execute(statement).fetchone()[0]
        return moment

    return await db.run(query)


async def limit_answer_times(db: Database, now: float) -> int:
    """Jobs that were answered while the clock was ahead count as answered now; how many."""
    statement = "UPDATE job SET finished_at = ?1 WHERE finished_at > ?1"
    return await db.execute("answer times", statement, (now,))
