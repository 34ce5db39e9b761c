"""Records which results are shown in a gallery, so that each is posted once."""

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


class Sharing:
    """Reads and writes the gallery message of a job in the store's database."""

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
