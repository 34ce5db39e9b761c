"""Erasure: reduces jobs to counts, in the database's pages and in its log."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

# A NULL parameter compares to nothing: each call sets one of the three.
HASHES = """
    SELECT DISTINCT hash FROM picture JOIN job ON seq = job_seq
    WHERE user_id = :user OR finished_at < :before OR id = :job
"""
TALLY = """
    INSERT INTO tally
    SELECT date(created_at, 'unixepoch'), state, count(DISTINCT seq), count(hash)
    FROM job LEFT JOIN picture ON seq = job_seq AND role LIKE 'result%'
    WHERE user_id = :user OR finished_at < :before OR id = :job
    GROUP BY 1, 2
    ON CONFLICT DO UPDATE SET jobs = jobs + excluded.jobs, pictures = pictures + excluded.pictures
"""
DELETE = "DELETE FROM job WHERE user_id = :user OR finished_at < :before OR id = :job"


def erase(
    db: sqlite3.Connection,
    *,
    user: int | None = None,
    before: float | None = None,
    job: str | None = None,
) -> tuple[int, set[str]]:
    """Within a transaction: count and delete a user's jobs, jobs answered before a moment, or one
    job.

    Returns the number of jobs, and the content hashes that they named.
    """
    chosen = {"user": user, "before": before, "job": job}
    hashes = {hash_ for (hash_,) in db.execute(HASHES, chosen)}
    db.execute(TALLY, chosen)
    return db.execute(DELETE, chosen).rowcount, hashes


def unnamed(db: sqlite3.Connection, hashes: Iterable[str]) -> list[str]:
    """Those of the content hashes that no job names."""
    query = "SELECT 1 FROM picture WHERE hash = ? LIMIT 1"
    return [hash_ for hash_ in hashes if db.execute(query, (hash_,)).fetchone() is None]


def scrub(db: sqlite3.Connection) -> None:
    """Write the log back and truncate it: it still holds erased rows. `secure_delete` has zeroed
    the freed pages of the database itself."""
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
