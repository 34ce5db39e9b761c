"""The favourites of users: jobs that they marked with the star button."""

from __future__ import annotations

from enum import Enum, auto

from bot.store.database import Database

ADD = """
    INSERT INTO favourite SELECT :user, seq, :now FROM job
    WHERE id = :job AND (SELECT count(*) FROM favourite WHERE user_id = :user) < :limit
"""
REMOVE = """
    DELETE FROM favourite
    WHERE user_id = :user AND job_seq = (SELECT seq FROM job WHERE id = :job)
"""


class FavouriteChange(Enum):
    """The result of `Favourites.toggle`."""

    ADDED = auto()
    REMOVED = auto()
    REFUSED = auto()
    """The user has as many favourites as they may, or the job is not stored any more."""


class Favourites:
    """Reads and writes favourites in the store's database.

    The results of a job that is a favourite of its own user are not deleted after the retention
    time; see `bot.store.erasure`.
    """

    def __init__(self, db: Database) -> None:
        self._db = db

    async def toggle(self, user_id: int, job_id: str, now: float, *, limit: int) -> FavouriteChange:
        """Add the job to the user's favourites, of which there may be `limit`, or remove it."""
        return await self._db.run(self._toggle, user_id, job_id, now, limit)

    async def remove(self, user_id: int, job_id: str) -> bool:
        """Remove the job from the user's favourites; whether it was one."""
        return await self._db.execute("favourite", REMOVE, {"user": user_id, "job": job_id}) > 0

    async def of(self, user_id: int) -> list[str]:
        """The ids of the user's favourites, the newest favourite first."""
        return await self._db.run(self._of, user_id)

    def _toggle(self, user_id: int, job_id: str, now: float, limit: int) -> FavouriteChange:
        values = {"user": user_id, "job": job_id, "now": now, "limit": limit}
        with self._db.transaction("favourite"):
            if self._db.connection.execute(REMOVE, values).rowcount:
                return FavouriteChange.REMOVED
            added = self._db.connection.execute(ADD, values).rowcount
        return FavouriteChange.ADDED if added else FavouriteChange.REFUSED

    def _of(self, user_id: int) -> list[str]:
        query = (
            "SELECT id FROM favourite JOIN job ON seq = job_seq WHERE favourite.user_id = ? "
            "ORDER BY at DESC, seq DESC"
        )
        return [id_ for (id_,) in self._db.connection.execute(query, (user_id,))]
