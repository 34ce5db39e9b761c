"""The moderation record in the database: cases, reports, appeals and what moderators did."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bot.moderation.model import Action, ActionKind, Case, CaseKind, CaseState
from bot.store.database import Database
from bot.store.erasure import scrub

APPEAL_SECONDS = 24 * 3600.0
_OPEN_REPORT = (
    "SELECT id FROM moderation_case WHERE kind = 'report' AND job_id = ? AND state = 'open'"
)
_RESTORE_STATE = (
    "UPDATE moderation_case SET state = coalesce("
    "(SELECT iif(kind = 'dismiss', 'dismissed', 'handled') FROM moderation_action "
    "WHERE case_id = :case AND undone_at IS NULL AND kind != 'undo' ORDER BY id DESC LIMIT 1), "
    "'open') WHERE id = :case"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCase:
    """What is known when a case is opened; the rest of `Case` is decided by the database."""

    kind: CaseKind
    guild_id: int
    channel_id: int
    user_id: int
    reason: str
    job_id: str | None = None
    score: float | None = None
    prompt: str | None = None
    bits: bytes | None = None


class ModerationCases:
    """Each method is one transaction. Times are seconds since the epoch."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def open(self, new: NewCase, now: float) -> Case:
        """Record a refusal, or list a picture."""
        return await self._db.run(self._open, new, now)

    async def report(self, new: NewCase, reporter_id: int, now: float) -> tuple[Case, bool]:
        """Record a report. Reports of the same picture are one case until it is closed.

        Returns the case, and whether this user had not reported it before.
        """
        return await self._db.run(self._report, new, reporter_id, now)

    async def case(self, case_id: int) -> Case | None:
        """The case, or None."""
        found = await self._db.run(self._select, "id = ?", (case_id,))
        return found[0] if found else None

    async def of_job(self, job_id: str) -> Case | None:
        """The newest refusal of a job, or None."""
        found = await self._db.run(
            self._select, "job_id = ? AND kind = 'result' ORDER BY id DESC LIMIT 1", (job_id,)
        )
        return found[0] if found else None

    async def logged(self, case_id: int, channel_id: int, message_id: int) -> None:
        """The entry in the server's log was sent."""
        await self._db.execute(
            "case",
            "UPDATE moderation_case SET log_channel_id = ?, log_message_id = ?, log_shown = 1 "
            "WHERE id = ?",
            (channel_id, message_id, case_id),
        )

    async def close(self, case_id: int, state: CaseState) -> None:
        """Set whether a moderator has dealt with the case."""
        await self._db.execute(
            "case", "UPDATE moderation_case SET state = ? WHERE id = ?", (state, case_id)
        )

    async def appeal(self, case_id: int, user_id: int, now: float) -> bool:
        """Record a user's appeal; False if they appealed less than a day ago, or the case is not
        theirs."""
        return await self._db.run(self._appeal, case_id, user_id, now)

    async def act(self, action: Action) -> None:
        """Record what a moderator did."""
        await self._db.execute(
            "action",
            "INSERT INTO moderation_action (guild_id, kind, moderator_id, target, reason, case_id, "
            "at, until) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                action.guild_id,
                action.kind,
                action.moderator_id,
                action.target,
                action.reason,
                action.case_id,
                action.at,
                action.until,
            ),
        )

    async def undo_last(
        self, case_id: int, now: float, write: Callable[[Action], None]
    ) -> Action | None:
        """Mark the case's newest action of those that can be undone; None if there is none.

        The case's state is again that of its earlier actions. `write` changes the lists in the
        same transaction, on the database's thread.
        """
        return await self._db.run(self._undo_last, case_id, now, write)

    async def actions(self, guild_id: int) -> list[Action]:
        """A server's whole record, oldest first."""
        query = "SELECT * FROM moderation_action WHERE guild_id = ? ORDER BY id"
        return await self._db.run(
            lambda: [_action(row) for row in self._db.connection.execute(query, (guild_id,))]
        )

    async def actions_of(self, case_id: int) -> list[Action]:
        """What was done about a case, oldest first."""
        query = "SELECT * FROM moderation_action WHERE case_id = ? ORDER BY id"
        return await self._db.run(
            lambda: [_action(row) for row in self._db.connection.execute(query, (case_id,))]
        )

    async def of_user(self, user_id: int) -> list[Case]:
        """The cases about a user in all servers, oldest first."""
        return await self._db.run(self._select, "user_id = ? ORDER BY id", (user_id,))

    async def cases(self, guild_id: int) -> list[Case]:
        """A server's cases, oldest first."""
        return await self._db.run(self._select, "guild_id = ? ORDER BY id", (guild_id,))

    async def expire(self, before: float, guild_id: int | None = None) -> None:
        """Remove prompts and hashes of cases that were opened before that time (in one server)."""
        where = "created_at < ?" + ("" if guild_id is None else " AND guild_id = ?")
        values = (before,) if guild_id is None else (before, guild_id)
        await self._db.run(self._remove_contents, where, *values)

    async def forget(self, user_id: int) -> None:
        """Remove a user's prompts and hashes at their request. Bans and timeouts stay."""
        await self._db.run(self._remove_contents, "user_id = ?", user_id)

    async def to_strip(self) -> list[Case]:
        """Cases without contents whose entry in the log still shows them."""
        return await self._db.run(self._select, "stripped AND log_shown ORDER BY id", ())

    async def stripped(self, case_id: int) -> None:
        """The entry in the log shows no contents any more."""
        await self._db.execute(
            "case", "UPDATE moderation_case SET log_shown = 0 WHERE id = ?", (case_id,)
        )

    # From here on everything runs on the database's thread.

    def _open(self, new: NewCase, now: float) -> Case:
        with self._db.transaction("case"):
            case_id = self._insert(new, now)
        return self._get(case_id)

    def _insert(self, new: NewCase, now: float) -> int:
        cursor = self._db.connection.execute(
            "INSERT INTO moderation_case (kind, guild_id, channel_id, user_id, job_id, reason, "
            "score, prompt, bits, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                new.kind,
                new.guild_id,
                new.channel_id,
                new.user_id,
                new.job_id,
                new.reason,
                new.score,
                new.prompt,
                new.bits,
                now,
            ),
        )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def _report(self, new: NewCase, reporter_id: int, now: float) -> tuple[Case, bool]:
        with self._db.transaction("report"):
            row = self._db.connection.execute(_OPEN_REPORT, (new.job_id,)).fetchone()
            case_id = row["id"] if row else self._insert(new, now)
            added = self._db.connection.execute(
                "INSERT OR IGNORE INTO moderation_report (case_id, user_id) VALUES (?, ?)",
                (case_id, reporter_id),
            ).rowcount
        return self._get(case_id), added > 0

    def _appeal(self, case_id: int, user_id: int, now: float) -> bool:
        with self._db.transaction("appeal"):
            return (
                self._db.connection.execute(
                    "UPDATE moderation_case SET appealed_at = :now, state = 'open' "
                    "WHERE id = :case AND user_id = :user AND NOT EXISTS (SELECT 1 "
                    "FROM moderation_case WHERE user_id = :user AND appealed_at > :since)",
                    {
                        "now": now,
                        "case": case_id,
                        "user": user_id,
                        "since": now - APPEAL_SECONDS,
                    },
                ).rowcount
                > 0
            )

    def _undo_last(
        self, case_id: int, now: float, write: Callable[[Action], None]
    ) -> Action | None:
        kinds = (ActionKind.BAN, ActionKind.TIMEOUT, ActionKind.BLOCK_PICTURE, ActionKind.DISMISS)
        with self._db.transaction("undo"):
            row = self._db.connection.execute(
                "SELECT * FROM moderation_action WHERE case_id = ? AND undone_at IS NULL "
                "AND kind IN (?, ?, ?, ?) ORDER BY id DESC LIMIT 1",
                (case_id, *kinds),
            ).fetchone()
            if row is None:
                return None
            self._db.connection.execute(
                "UPDATE moderation_action SET undone_at = ? WHERE id = ?", (now, row["id"])
            )
            write(_action(row))
            self._db.connection.execute(_RESTORE_STATE, {"case": case_id})
        return _action(row)

    def _remove_contents(self, where: str, *values: float) -> None:
        statement = (
            "UPDATE moderation_case SET prompt = NULL, bits = NULL, stripped = 1 "  # noqa: S608
            f"WHERE {where} AND NOT stripped"
        )
        with self._db.transaction("remove contents"):
            removed = self._db.connection.execute(statement, values).rowcount
        if removed:
            scrub(self._db.connection)

    def _get(self, case_id: int) -> Case:
        return self._select("id = ?", (case_id,))[0]

    def _select(self, where: str, values: Sequence[object]) -> list[Case]:
        query = (
            "SELECT *, (SELECT count(*) FROM moderation_report WHERE case_id = id) AS reports "  # noqa: S608
            f"FROM moderation_case WHERE {where}"
        )
        return [_case(row) for row in self._db.connection.execute(query, values)]


def _case(row: sqlite3.Row) -> Case:
    return Case(
        id=row["id"],
        kind=CaseKind(row["kind"]),
        guild_id=row["guild_id"],
        channel_id=row["channel_id"],
        user_id=row["user_id"],
        job_id=row["job_id"],
        reason=row["reason"],
        score=row["score"],
        prompt=row["prompt"],
        bits=row["bits"],
        state=CaseState(row["state"]),
        reports=row["reports"],
        stripped=bool(row["stripped"]),
        log_channel_id=row["log_channel_id"],
        log_message_id=row["log_message_id"],
        created_at=row["created_at"],
    )


def _action(row: sqlite3.Row) -> Action:
    return Action(
        guild_id=row["guild_id"],
        kind=ActionKind(row["kind"]),
        moderator_id=row["moderator_id"],
        target=row["target"],
        reason=row["reason"],
        case_id=row["case_id"],
        at=row["at"],
        until=row["until"],
    )
