"""Values that survive a restart, by name, such as the operator's pause."""

from __future__ import annotations

from bot.store.database import Database


class OperatorState:
    """Each method is one transaction."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def get(self, name: str) -> str | None:
        """The value, or None."""
        query = "SELECT value FROM operator_state WHERE name = ?"
        row = await self._db.run(lambda: self._db.connection.execute(query, (name,)).fetchone())
        return row["value"] if row else None

    async def set(self, name: str, value: str | None) -> None:
        """Set the value; None removes it."""
        if value is None:
            statement, values = "DELETE FROM operator_state WHERE name = ?", (name,)
            await self._db.execute("operator state", statement, values)
        else:
            await self._db.execute(
                "operator state", "REPLACE INTO operator_state VALUES (?, ?)", (name, value)
            )
