"""Strips jobs to counts so that nothing else of them stays, neither in pages nor in the log."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

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
    failpoint: Callable[[str], None],
    *,
    user: int | None = None,
    before: float | None = None,
    job: str | None = None,
) -> tuple[int, set[str]]:
    """Within a transaction: count and delete a person's jobs, those answered before a moment, or
    one job.

    Returns how many there were, and the content hashes that they named.
    """
    chosen = {"user": user, "before": before, "job": job}
    hashes = {hash_ for (hash_,) in db.execute(HASHES, chosen)}
    db.execute(TALLY, chosen)
    erased = db.execute(DELETE, chosen).rowcount
    failpoint("within erase")
    return erased, hashes


def scrub(db: sqlite3.Connection) -> None:
    """`secure_delete` has zeroed the freed pages; the log still holds them as they were. Write it
    back and cut it to nothing."""
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
