"""Settings of a server that its managers change: the gallery channel."""

from __future__ import annotations

from bot.store.database import Database


class GuildSettings:
    """Reads and writes the settings in the store's database."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def gallery(self, guild_id: int) -> int | None:
        """The server's channel for shared pictures; None if it has none."""
        return await self._db.run(self._gallery, guild_id)

    async def set_gallery(self, guild_id: int, channel_id: int | None) -> None:
        """Set the server's channel for shared pictures; None removes it."""
        if channel_id is None:
            statement, values = "DELETE FROM gallery WHERE guild_id = ?", (guild_id,)
            await self._db.execute("gallery", statement, values)
        else:
            await self._db.execute(
                "gallery", "REPLACE INTO gallery VALUES (?, ?)", (guild_id, channel_id)
            )

    def _gallery(self, guild_id: int) -> int | None:
        query = "SELECT channel_id FROM gallery WHERE guild_id = ?"
        row = self._db.connection.execute(query, (guild_id,)).fetchone()
        return row["channel_id"] if row else None
