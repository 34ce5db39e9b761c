"""Settings of a server that its managers change, one JSON object for each server."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bot.errors import UnavailableError
from bot.jobs.budgets import NO_LIMITS, RoleLimits
from bot.store.database import Database

log = logging.getLogger(__name__)


class SettingsUnreadable(UnavailableError):
    """The stored settings of the server are damaged, or those of another version."""

    text = (
        "The settings of this server cannot be read. A member who may manage the server can "
        "replace them with `/settings import`."
    )


class GuildOptions(BaseModel):
    """The settings of one server. None and empty: the operator's or the model's default.

    `channels` and `roles` are those in which and with which the bot may be used; none listed means
    all. `limits` has the id of a role, or `EVERYONE`, as its key. `server_seconds` is the server's
    own budget for a day.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    gallery: int | None = None
    channels: tuple[int, ...] = ()
    roles: tuple[int, ...] = ()
    style: str | None = None
    strength: float | None = Field(default=None, ge=0.05, le=1)
    mentions: bool = True
    language: Literal["en", "de", "fr", "es", "ja"] | None = None
    retention_hours: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    server_seconds: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    limits: dict[int, RoleLimits] = Field(default_factory=dict)


class GuildSettings:
    """Reads and writes the settings in the store's database."""

    def __init__(self, db: Database) -> None:
        self._db = db
        # Servers whose damaged settings were logged and not replaced since. Each of their requests
        # reads them.
        self._reported: set[int] = set()

    async def options(self, guild_id: int | None) -> GuildOptions:
        """The server's settings; the defaults where it has changed none, and in direct messages.

        Raises:
            SettingsUnreadable: they are damaged. Then no limit of the server is known.
        """
        return GuildOptions() if guild_id is None else await self._db.run(self._load, guild_id)

    async def save(
        self, guild_id: int, options: GuildOptions, also: Callable[[], None] | None = None
    ) -> None:
        """Replace the server's settings. `also` writes more in the same transaction, on the
        database's thread."""
        await self._db.run(self._save, guild_id, options, also)

    async def update(
        self, guild_id: int, change: Callable[[GuildOptions], GuildOptions]
    ) -> GuildOptions:
        """Change the server's settings by a function of the stored ones; returns the new ones.

        Reading and writing are one transaction, so that no other change is lost. `change` runs on
        the database's thread.
        """
        return await self._db.run(self._update, guild_id, change)

    async def change(self, guild_id: int, **changes: object) -> GuildOptions:
        """Change some settings of a server; returns all of them.

        Raises:
            pydantic.ValidationError: a value is not valid; nothing is changed.
        """
        return await self.update(guild_id, partial(_changed, changes=changes))

    async def change_limits(
        self, guild_id: int, key: int, change: Callable[[RoleLimits], RoleLimits]
    ) -> GuildOptions:
        """Change the limits of a role or of `EVERYONE`, as `update` does; `NO_LIMITS` removes
        them."""

        def changed(stored: GuildOptions) -> GuildOptions:
            limits = dict(stored.limits)
            limits[key] = change(limits.get(key, NO_LIMITS))
            if limits[key] == NO_LIMITS:
                del limits[key]
            return stored.model_copy(update={"limits": limits})

        return await self.update(guild_id, changed)

    def write_changes(self, guild_id: int, **changes: object) -> None:
        """`change` within a transaction, on the database's thread."""
        self._write(guild_id, _changed(self._load(guild_id), changes))

    async def gallery(self, guild_id: int) -> int | None:
        """The server's channel for shared pictures; None if it has none."""
        return (await self.options(guild_id)).gallery

    async def set_gallery(self, guild_id: int, channel_id: int | None) -> None:
        """Set the server's channel for shared pictures; None removes it."""
        await self.change(guild_id, gallery=channel_id)

    async def with_retention(self) -> dict[int, float]:
        """Server → the hours after which its pictures are deleted, where it has set them."""
        return await self._db.run(self._with_retention)

    # From here on everything runs on the database's thread.

    def _load(self, guild_id: int) -> GuildOptions:
        query = "SELECT settings FROM guild_settings WHERE guild_id = ?"
        row = self._db.connection.execute(query, (guild_id,)).fetchone()
        try:
            return GuildOptions.model_validate_json(row["settings"]) if row else GuildOptions()
        except ValidationError as error:
            if guild_id not in self._reported:
                self._reported.add(guild_id)
                log.error("the settings of server %d cannot be read: %s", guild_id, error)
            raise SettingsUnreadable from error

    def _save(self, guild_id: int, options: GuildOptions, also: Callable[[], None] | None) -> None:
        with self._db.transaction("settings"):
            self._write(guild_id, options)
            if also is not None:
                also()
        self._reported.discard(guild_id)

    def _update(
        self, guild_id: int, change: Callable[[GuildOptions], GuildOptions]
    ) -> GuildOptions:
        with self._db.transaction("settings"):
            options = change(self._load(guild_id))
            self._write(guild_id, options)
        return options

    def _write(self, guild_id: int, options: GuildOptions) -> None:
        self._db.connection.execute(
            "REPLACE INTO guild_settings VALUES (?, ?)",
            (guild_id, options.model_dump_json(exclude_defaults=True)),
        )

    def _with_retention(self) -> dict[int, float]:
        query = (
            "SELECT guild_id, iif(json_valid(settings), "
            "json_extract(settings, '$.retention_hours'), NULL) AS hours "
            "FROM guild_settings WHERE typeof(hours) IN ('integer', 'real')"
        )
        return {row["guild_id"]: row["hours"] for row in self._db.connection.execute(query)}


def _changed(stored: GuildOptions, changes: dict[str, object]) -> GuildOptions:
    return GuildOptions.model_validate(stored.model_dump() | changes)
