"""A user's defaults for requests, which they set with `/defaults`."""

from __future__ import annotations

import sqlite3
from dataclasses import astuple, dataclass, replace
from enum import StrEnum
from typing import Any

from bot.store.database import Database


class Notification(StrEnum):
    """How a user is told that a picture is finished that took longer than a minute."""

    NONE = "none"
    MENTION = "mention"
    DIRECT = "direct"


@dataclass(frozen=True, slots=True, kw_only=True)
class UserDefaults:
    """The values of a request for which its user gives none. None stands for the model's default.

    The fields are the columns of `user_defaults` after `user_id`, in their order.
    """

    strength: float | None = None
    style: str | None = None
    steps: int | None = None
    private: bool = False
    notification: Notification = Notification.NONE
    # The model that redraws pictures; it may have been removed from the configuration.
    model: str | None = None


class UserDefaultsTable:
    """Reads and writes the defaults in the store's database."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def of(self, user_id: int) -> UserDefaults:
        """The user's defaults."""
        return await self._db.run(self._of, user_id)

    async def change(self, user_id: int, **changes: Any) -> UserDefaults:
        """Change some fields; returns all of the user's defaults."""
        return await self._db.run(self._change, user_id, changes)

    def _of(self, user_id: int) -> UserDefaults:
        query = "SELECT * FROM user_defaults WHERE user_id = ?"
        row = self._db.connection.execute(query, (user_id,)).fetchone()
        return _defaults(row) if row else UserDefaults()

    def _change(self, user_id: int, changes: dict[str, Any]) -> UserDefaults:
        with self._db.transaction("user defaults"):
            defaults = replace(self._of(user_id), **changes)
            self._db.connection.execute("DELETE FROM user_defaults WHERE user_id = ?", (user_id,))
            if defaults != UserDefaults():
                self._db.connection.execute(
                    "INSERT INTO user_defaults VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (user_id, *astuple(defaults)),
                )
        return defaults


def _defaults(row: sqlite3.Row) -> UserDefaults:
    return UserDefaults(
        strength=row["strength"],
        style=row["style"],
        steps=row["steps"],
        private=bool(row["private"]),
        notification=Notification(row["notification"]),
        model=row["model"],
    )
