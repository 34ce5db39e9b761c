"""The ledger: requests, pictures and device seconds of each day, and times of last requests.

A day is a day in UTC. The server 0 stands for direct messages. Users are stored as keyed hashes of
their ids, so that the erasure of a user's data leaves no id here and does not renew a budget.
"""

from __future__ import annotations

import hmac
import sqlite3
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta

from bot.jobs.budgets import Charge, Spent
from bot.jobs.job import Job
from bot.store.database import Database

# Slow mode and cool-downs are shorter than a day.
KEEP_REQUEST_TIMES_SECONDS = 24 * 3600.0
DIRECT_MESSAGES = 0
KEY_NAME = "ledger key"
# Stands for the users of past days, whose shares are not kept.
ALL_USERS = 0
# Pictures that ran no step have rows of their own, after the name of their model, because their
# seconds are no measure of its speed.
NO_STEPS = " (part)"

_ADD = """
    ON CONFLICT DO UPDATE SET requests = requests + excluded.requests,
        pictures = pictures + excluded.pictures, work = work + excluded.work,
        seconds = seconds + excluded.seconds
"""
_CHARGE = f"""
    INSERT INTO usage
    SELECT date(:at, 'unixepoch'), ifnull(json_extract(request, '$.destination.guild_id'), 0),
        pseudonym(user_id), json_extract(request, '$.model') || iif(:work, '', '{NO_STEPS}'),
        0, :pictures, :work, :seconds
    FROM job WHERE id = :job {_ADD}
"""  # noqa: S608
_REQUEST = f"INSERT INTO usage VALUES (date(?, 'unixepoch'), ?, pseudonym(?), ?, 1, 0, 0, 0) {_ADD}"  # noqa: S608
_MERGE_USERS = f"""
    INSERT INTO usage
    SELECT day, guild_id, 0, model, sum(requests), sum(pictures), sum(work), sum(seconds)
    FROM usage WHERE day < :day AND user_id != 0 GROUP BY day, guild_id, model {_ADD}
"""  # noqa: S608
_REQUEST_TIME = """
    INSERT INTO last_request VALUES (?, pseudonym(?), ?)
    ON CONFLICT DO UPDATE SET at = max(at, excluded.at)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """A row of the ledger: one day, server, user (as a keyed hash) and model."""

    day: str
    guild_id: int
    user_id: int
    model: str
    requests: int
    pictures: int
    work: float
    seconds: float


def day_of(moment: float) -> str:
    """The day of a moment in seconds since the epoch, as `2026-11-26`."""
    return datetime.fromtimestamp(moment, UTC).date().isoformat()


def renewal(moment: float) -> float:
    """The end of the moment's day, in seconds since the epoch."""
    day = datetime.fromtimestamp(moment, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return (day + timedelta(days=1)).timestamp()


def prepare_connection(db: sqlite3.Connection) -> None:
    """Give the connection the function `pseudonym`, with the database's own key."""
    query = "SELECT value FROM operator_state WHERE name = ?"
    if db.execute(query, (KEY_NAME,)).fetchone() is None:
        key = "INSERT INTO operator_state VALUES (?, lower(hex(randomblob(32))))"
        db.execute(key, (KEY_NAME,))
    (text,) = db.execute(query, (KEY_NAME,)).fetchone()
    key_bytes = bytes.fromhex(text)

    def pseudonym(user_id: int) -> int:
        digest = hmac.digest(key_bytes, str(user_id).encode(), "sha256")
        # SQLite's integers have a sign.
        return int.from_bytes(digest[:8]) >> 1

    db.create_function("pseudonym", 1, pseudonym, deterministic=True)


def charge_job(db: sqlite3.Connection, job_id: str, charge: Charge) -> None:
    """Within a transaction: charge the job's user and server."""
    db.execute(_CHARGE, {"job": job_id, **asdict(charge)})


def count_request(db: sqlite3.Connection, job: Job) -> None:
    """Within a transaction: count an accepted request, and record its time."""
    guild_id = job.destination.guild_id or DIRECT_MESSAGES
    db.execute(_REQUEST, (job.created_at, guild_id, job.user_id, job.model))
    db.execute(_REQUEST_TIME, (guild_id, job.user_id, job.created_at))


class Ledger:
    """Reads the ledger. Each changing method is one transaction."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def spent(self, user_id: int, guild_id: int | None, day: str) -> Spent:
        """The device seconds of a user and a server on a day."""
        query = (
            "SELECT ifnull(sum(iif(own, seconds, 0)), 0) AS user, "
            "ifnull(sum(iif(own AND here, seconds, 0)), 0) AS user_here, "
            "ifnull(sum(iif(here, seconds, 0)), 0) AS server "
            "FROM (SELECT seconds, user_id = pseudonym(:user) AS own, guild_id = :guild AS here "
            "FROM usage WHERE day = :day)"
        )
        values = {"user": user_id, "guild": guild_id or DIRECT_MESSAGES, "day": day}
        return await self._db.run(
            lambda: Spent(**dict(self._db.connection.execute(query, values).fetchone()))
        )

    async def rates(self, since: str) -> dict[str, float]:
        """Model → device seconds for a unit of `Job.cost`, measured from that day on."""
        query = (
            "SELECT model, sum(seconds) / sum(work) FROM usage WHERE day >= ? "
            "GROUP BY model HAVING sum(work) > 0"
        )
        return await self._db.run(lambda: dict(map(tuple, self._rows(query, (since,)))))

    async def usage(self, since: str, user_id: int | None = None) -> list[Usage]:
        """The rows from a day on, oldest first; those of one user, or all."""
        query = "SELECT * FROM usage WHERE day >= :day "
        query += "" if user_id is None else "AND user_id = pseudonym(:user)"
        values = {"day": since, "user": user_id}
        return await self._db.run(lambda: [Usage(**dict(row)) for row in self._rows(query, values)])

    async def last_requests(self, user_id: int) -> dict[int, float]:
        """Server → when the user's last accepted request there was made."""
        query = "SELECT guild_id, at FROM last_request WHERE user_id = pseudonym(?)"
        return await self._db.run(lambda: dict(map(tuple, self._rows(query, (user_id,)))))

    async def last_request(self, guild_id: int | None, user_id: int) -> float | None:
        """When the user's last accepted request in a server was made; None if that is over a day
        ago."""
        return (await self.last_requests(user_id)).get(guild_id or DIRECT_MESSAGES)

    async def expire(self, now: float) -> None:
        """Merge the users of past days into one, and delete times of requests that are over."""
        await self._db.run(self._expire, now)

    async def waiting_times(self, since: float) -> list[float]:
        """The seconds from acceptance to start of the stored jobs that were accepted since then,
        in order."""
        query = (
            "SELECT started_at - created_at AS seconds FROM job "
            "WHERE created_at >= ? AND started_at IS NOT NULL ORDER BY seconds"
        )
        rows = await self._db.run(lambda: self._rows(query, (since,)).fetchall())
        return [row["seconds"] for row in rows]

    async def tally(self) -> dict[tuple[str, str], tuple[int, int]]:
        """The counts of erased jobs: (day, state) → (jobs, pictures)."""
        query = "SELECT day, state, jobs, pictures FROM tally"
        rows = await self._db.run(lambda: self._rows(query, ()).fetchall())
        return {(row["day"], row["state"]): (row["jobs"], row["pictures"]) for row in rows}

    # From here on everything runs on the database's thread.

    def _rows(
        self, query: str, values: tuple[object, ...] | Mapping[str, object]
    ) -> sqlite3.Cursor:
        return self._db.connection.execute(query, values)

    def _expire(self, now: float) -> None:
        today = {"day": day_of(now)}
        with self._db.transaction("usage"):
            self._db.connection.execute(_MERGE_USERS, today)
            self._db.connection.execute(
                "DELETE FROM usage WHERE day < :day AND user_id != 0", today
            )
            self._db.connection.execute(
                "DELETE FROM last_request WHERE at < ?", (now - KEEP_REQUEST_TIMES_SECONDS,)
            )
