"""Records which messages show a job again: the one in a gallery, and posted copies."""

from __future__ import annotations

from bot.store.database import Database

START = """
    UPDATE job SET request = json_set(request, '$.share_channel_id', ?)
    WHERE id = ? AND json_extract(request, '$.share_channel_id') IS NULL
"""
SET_MESSAGE = """
    UPDATE job SET request = json_set(
        request, '$.share_message_id', ?1,
        '$.share_channel_id', iif(?1 IS NULL, NULL, json_extract(request, '$.share_channel_id'))
    ) WHERE id = ?2
"""
ADD_COPY = """
    INSERT OR IGNORE INTO posted_copy (job_seq, channel_id, message_id)
    SELECT seq, ?, ? FROM job WHERE id = ?
"""
COPIES = """
    SELECT channel_id, message_id FROM posted_copy JOIN job ON seq = job_seq
    WHERE id = ? ORDER BY message_id
"""


class Sharing:
    """Reads and writes the gallery message and the posted copies of a job in the store's database.

    Each result is posted once in a gallery. Copies, such as enlarged pictures, have no limit.
    """

    def __init__(self, db: Database) -> None:
        self._db = db

    async def start(self, job_id: str, channel_id: int) -> bool:
        """The result is about to be posted in a gallery; False if it was shared before.

        Of two calls at the same time, one gets True.
        """
        return bool(await self._db.execute("share", START, (channel_id, job_id)))

    async def set_message(self, job_id: str, message_id: int | None) -> None:
        """The result was posted in the gallery as this message; None if it is not there."""
        await self._db.execute("share", SET_MESSAGE, (message_id, job_id))

    async def add_copy(self, job_id: str, channel_id: int, message_id: int) -> bool:
        """This message will show the job; False if the job is not stored any more."""
        return bool(await self._db.execute("copy", ADD_COPY, (channel_id, message_id, job_id)))

    async def copies(self, job_id: str) -> list[tuple[int, int]]:
        """(channel id, message id) of every posted copy, also of those that were deleted."""
        return await self._db.run(
            lambda: [tuple(row) for row in self._db.connection.execute(COPIES, (job_id,))]
        )
