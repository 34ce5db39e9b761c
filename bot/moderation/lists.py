"""Bans, allow lists, timeouts, prompt rules, blocked pictures and policies, in the database."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import astuple, replace
from typing import Any

from bot.moderation.detectors.picture_hash import PictureHash, hashes_in
from bot.moderation.detectors.prompt_rules import Rule, RuleKind
from bot.moderation.model import (
    EVERYWHERE,
    Action,
    ActionKind,
    Effect,
    GuildPolicy,
    Place,
    Restriction,
    Subject,
)
from bot.store.database import Database

_REPLACE_RESTRICTION = (
    "REPLACE INTO moderation_restriction "
    "(guild_id, subject, subject_id, effect, until) VALUES (?, ?, ?, ?, ?)"
)
# The newest action that restricts a target, of those that were neither undone nor ended.
_STILL_IN_FORCE = (
    "SELECT until FROM moderation_action WHERE guild_id = :guild AND target = :target "
    "AND kind = :kind AND undone_at IS NULL AND id > (SELECT coalesce(max(id), 0) "
    "FROM moderation_action WHERE guild_id = :guild AND target = :target AND kind = 'unban') "
    "ORDER BY id DESC LIMIT 1"
)


class ModerationLists:
    """Each coroutine method is one transaction. Entries of `EVERYWHERE` are the operator's."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def restrict(self, entry: Restriction) -> None:
        """Add an entry, or replace the one of the same subject and effect."""
        await self._db.execute(
            "restrict",
            _REPLACE_RESTRICTION,
            astuple(entry),
        )

    async def lift(
        self, guild_id: int, subject: Subject, subject_id: int, *effects: Effect
    ) -> bool:
        """Remove a subject's entries of these effects; whether there was one."""
        marks = ", ".join("?" * len(effects))
        return (
            await self._db.execute(
                "lift",
                "DELETE FROM moderation_restriction WHERE guild_id = ? AND subject = ? "  # noqa: S608
                f"AND subject_id = ? AND effect IN ({marks})",
                (guild_id, subject, subject_id, *effects),
            )
            > 0
        )

    async def restrictions(self, place: Place) -> list[Restriction]:
        """The operator's entries and the server's."""
        rows = await self._select(
            "SELECT guild_id, subject, subject_id, effect, until FROM moderation_restriction "
            "WHERE guild_id IN (?, ?)",
            place.scopes,
        )
        return [
            Restriction(
                guild_id=row["guild_id"],
                subject=Subject(row["subject"]),
                subject_id=row["subject_id"],
                effect=Effect(row["effect"]),
                until=row["until"],
            )
            for row in rows
        ]

    async def add_rule(self, guild_id: int, kind: RuleKind, pattern: str) -> bool:
        """Add a prompt rule; False if the server has it already."""
        return (
            await self._db.execute(
                "rule",
                "INSERT OR IGNORE INTO moderation_rule (guild_id, kind, pattern) VALUES (?, ?, ?)",
                (guild_id, kind, pattern),
            )
            > 0
        )

    async def remove_rule(self, guild_id: int, rule_id: int) -> bool:
        """Remove a prompt rule of this server; whether there was one."""
        return (
            await self._db.execute(
                "rule",
                "DELETE FROM moderation_rule WHERE guild_id = ? AND id = ?",
                (guild_id, rule_id),
            )
            > 0
        )

    async def rules(self, place: Place) -> list[Rule]:
        """The operator's prompt rules and the server's."""
        rows = await self._select(
            "SELECT id, guild_id, kind, pattern FROM moderation_rule "
            "WHERE guild_id IN (?, ?) ORDER BY id",
            place.scopes,
        )
        return [
            Rule(
                id=row["id"],
                guild_id=row["guild_id"] or None,
                kind=RuleKind(row["kind"]),
                pattern=row["pattern"],
            )
            for row in rows
        ]

    async def block(self, guild_id: int, bits: bytes) -> None:
        """Refuse a picture from now on, recognised by its perceptual hash."""
        await self._db.execute(
            "block",
            "INSERT OR IGNORE INTO moderation_blocked_picture (guild_id, bits) VALUES (?, ?)",
            (guild_id, bits),
        )

    def write_undone(self, action: Action) -> None:
        """Remove what an action did, which is marked as undone; what the others of the record did
        remains. Within a transaction, on the database's thread."""
        match action.kind:
            case ActionKind.BAN | ActionKind.TIMEOUT:
                self._write_restriction(action)
            case ActionKind.BLOCK_PICTURE:
                self._unblock(action)

    async def is_blocked(self, place: Place, picture: PictureHash) -> bool:
        """Whether the operator or the server blocks this picture, mirrored or not."""
        return await self._db.run(self._is_blocked, place.scopes, picture)

    async def policy(self, guild_id: int | None) -> GuildPolicy:
        """A server's policy; the default one where it has set none, and in direct messages."""
        return await self._db.run(self._policy, guild_id or EVERYWHERE)

    async def set_policy(self, policy: GuildPolicy) -> None:
        """Replace a server's policy."""

        def write() -> None:
            with self._db.transaction("policy"):
                self.write_policy(policy)

        await self._db.run(write)

    async def change_policy(
        self, guild_id: int, also: Callable[[], object] | None = None, **changes: Any
    ) -> tuple[GuildPolicy, GuildPolicy]:
        """Change some fields of a server's policy; returns the policy before and after.

        Reading and writing are one transaction, so that no other change is lost. `also` writes
        more in the same transaction, on the database's thread.
        """

        def change() -> tuple[GuildPolicy, GuildPolicy]:
            with self._db.transaction("policy"):
                before = self._policy(guild_id)
                after = replace(before, **changes)
                self.write_policy(after)
                if also is not None:
                    also()
            return before, after

        return await self._db.run(change)

    def write_policy(self, policy: GuildPolicy) -> None:
        """Replace a server's policy within a transaction, on the database's thread."""
        self._db.connection.execute(
            "REPLACE INTO moderation_policy (guild_id, log_channel_id, threshold, "
            "age_restricted_threshold, slow_mode_seconds, log_pictures) VALUES (?, ?, ?, ?, ?, ?)",
            astuple(policy),
        )

    def _policy(self, guild_id: int) -> GuildPolicy:
        query = "SELECT * FROM moderation_policy WHERE guild_id = ?"
        row = self._db.connection.execute(query, (guild_id,)).fetchone()
        if row is None:
            return GuildPolicy(guild_id=guild_id)
        return GuildPolicy(**dict(row) | {"log_pictures": bool(row["log_pictures"])})

    def _write_restriction(self, undone: Action) -> None:
        subject, subject_id = undone.target.split()
        key = (undone.guild_id, subject, int(subject_id), undone.kind)
        names = {"guild": undone.guild_id, "kind": undone.kind, "target": undone.target}
        row = self._db.connection.execute(_STILL_IN_FORCE, names).fetchone()
        if row is None:
            self._db.connection.execute(
                "DELETE FROM moderation_restriction "
                "WHERE guild_id = ? AND subject = ? AND subject_id = ? AND effect = ?",
                key,
            )
        else:
            self._db.connection.execute(_REPLACE_RESTRICTION, (*key, row["until"]))

    def _unblock(self, undone: Action) -> None:
        others = self._db.connection.execute(
            "SELECT target FROM moderation_action "
            "WHERE guild_id = ? AND kind = 'block_picture' AND undone_at IS NULL",
            (undone.guild_id,),
        )
        kept = {bits for row in others for bits in hashes_in(bytes.fromhex(row["target"]))}
        for bits in set(hashes_in(bytes.fromhex(undone.target))) - kept:
            self._db.connection.execute(
                "DELETE FROM moderation_blocked_picture WHERE guild_id = ? AND bits = ?",
                (undone.guild_id, bits),
            )

    async def _select(self, query: str, values: tuple[object, ...]) -> list[sqlite3.Row]:
        return await self._db.run(lambda: self._db.connection.execute(query, values).fetchall())

    def _is_blocked(self, scopes: tuple[int, int], picture: PictureHash) -> bool:
        query = "SELECT bits FROM moderation_blocked_picture WHERE guild_id IN (?, ?)"
        blocked = self._db.connection.execute(query, scopes)
        return any(picture.matches(row["bits"]) for row in blocked)
