"""Erasure: reduces jobs to counts, in the database's pages and in its log."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from bot.store.database import Database

# A NULL parameter compares to nothing: each call sets one of the first three. After the retention
# time a job stays while it is a favourite of its own user. `guild` narrows `before` to one server.
CHOSEN = """
    user_id = :user OR id = :job OR finished_at < :before AND NOT EXISTS (
        SELECT 1 FROM favourite WHERE job_seq = job.seq AND favourite.user_id = job.user_id
    ) AND (:guild IS NULL OR :guild =
        iif(json_valid(request), json_extract(request, '$.destination.guild_id'), NULL)
    )
"""
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
# What is stored of a user beside their jobs.
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

    Returns the number of jobs, and the content hashes that they named.
    """
    chosen = {"user": user, "before": before, "job": job, "guild": guild}
    hashes = {hash_ for (hash_,) in db.execute(HASHES, chosen)}
    db.execute(TALLY, chosen)
    if user is not None:
        for statement in DELETE_OF_USER:
            db.execute(statement, {"user": user})
    return db.execute(DELETE, chosen).rowcount, hashes


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
