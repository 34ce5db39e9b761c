"""What moderators do, each with its entry in the record."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bot.moderation.cases import ModerationCases
from bot.moderation.detectors.picture_hash import hashes_in
from bot.moderation.detectors.prompt_rules import RuleKind, check_pattern
from bot.moderation.lists import ModerationLists
from bot.moderation.model import (
    Action,
    ActionKind,
    Case,
    CaseState,
    Effect,
    GuildPolicy,
    Restriction,
    Subject,
)

ActionListener = Callable[[Action], None]
"""Told of each action that does not belong to a case."""


@dataclass(frozen=True, slots=True)
class Moderator:
    """Who acts, and in which server (`EVERYWHERE`: the operator, in all)."""

    guild_id: int
    user_id: int


class ModeratorActions:
    """Changes the lists and records who changed them, when and why."""

    def __init__(
        self,
        lists: ModerationLists,
        cases: ModerationCases,
        *,
        on_action: ActionListener = lambda _action: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._lists = lists
        self._cases = cases
        self._on_action = on_action
        self._clock = clock

    async def restrict(
        self,
        by: Moderator,
        effect: Effect,
        subject: Subject,
        subject_id: int,
        *,
        reason: str = "",
        seconds: float | None = None,
        case: Case | None = None,
    ) -> None:
        """Ban or allow a user or role, or time a user out for `seconds`."""
        until = None if seconds is None else self._clock() + seconds
        await self._lists.restrict(
            Restriction(
                guild_id=by.guild_id,
                subject=subject,
                subject_id=subject_id,
                effect=effect,
                until=until,
            )
        )
        target = f"{subject} {subject_id}"
        await self._record(by, ActionKind(effect), target, reason, case, until)

    async def lift(
        self, by: Moderator, kind: ActionKind, subject: Subject, subject_id: int, reason: str = ""
    ) -> bool:
        """End bans and timeouts (`UNBAN`), or take off the allow list (`DISALLOW`); whether there
        was anything to end."""
        effects = (Effect.BAN, Effect.TIMEOUT) if kind is ActionKind.UNBAN else (Effect.ALLOW,)
        if not await self._lists.lift(by.guild_id, subject, subject_id, *effects):
            return False
        await self._record(by, kind, f"{subject} {subject_id}", reason)
        return True

    async def block_picture(self, by: Moderator, case: Case) -> bool:
        """Refuse the case's pictures from now on; False if their hashes are not kept."""
        if case.bits is None:
            return False
        for bits in hashes_in(case.bits):
            await self._lists.block(by.guild_id, bits)
        await self._record(by, ActionKind.BLOCK_PICTURE, case.bits.hex(), case.reason, case)
        return True

    async def dismiss(self, by: Moderator, case: Case) -> None:
        """Close the case: nothing is wrong with it."""
        await self._cases.close(case.id, CaseState.DISMISSED)
        await self._record(by, ActionKind.DISMISS, f"case {case.id}", case.reason, case)

    async def deleted(self, by: Moderator, case: Case) -> None:
        """The case's picture was deleted."""
        await self._record(by, ActionKind.DELETE, f"job {case.job_id}", case.reason, case)

    async def undo(self, by: Moderator, case: Case) -> Action | None:
        """Undo the case's newest ban, timeout, block or dismissal; None if there is none.

        What other actions did, and what this case did before, remains or comes back. Deleted
        messages do not come back.
        """
        action = await self._cases.undo_last(case.id, self._clock(), self._lists.write_undone)
        if action is None:
            return None
        await self._record(by, ActionKind.UNDO, f"{action.kind}: {action.target}", "", case)
        return action

    async def add_rule(self, by: Moderator, kind: RuleKind, pattern: str) -> bool:
        """Add a prompt rule; False if there is the same one already.

        Raises:
            InvalidPattern: it could never be matched, or always.
        """
        check_pattern(kind, pattern)
        if not await self._lists.add_rule(by.guild_id, kind, pattern):
            return False
        await self._record(by, ActionKind.ADD_RULE, f"{kind} {pattern}", "")
        return True

    async def remove_rule(self, by: Moderator, rule_id: int) -> bool:
        """Remove a prompt rule; False if the server has none of that number."""
        if not await self._lists.remove_rule(by.guild_id, rule_id):
            return False
        await self._record(by, ActionKind.REMOVE_RULE, f"rule {rule_id}", "")
        return True

    async def change_policy(
        self, by: Moderator, also: Callable[[], object] | None = None, **changes: Any
    ) -> None:
        """Change some fields of the server's policy, and record it if the policy differs now.

        `also` writes more in the same transaction, on the database's thread.
        """
        before, after = await self._lists.change_policy(by.guild_id, also, **changes)
        if after != before:
            await self.record_policy(by, after)

    async def record_policy(self, by: Moderator, policy: GuildPolicy) -> None:
        """Record that the server's policy was replaced by `policy`, which is stored."""
        await self._record(by, ActionKind.SET_POLICY, str(policy), "")

    async def _record(
        self,
        by: Moderator,
        kind: ActionKind,
        target: str,
        reason: str,
        case: Case | None = None,
        until: float | None = None,
    ) -> None:
        if case is not None and kind not in (ActionKind.DISMISS, ActionKind.UNDO):
            await self._cases.close(case.id, CaseState.HANDLED)
        action = Action(
            guild_id=by.guild_id,
            kind=kind,
            moderator_id=by.user_id,
            target=target,
            reason=reason,
            case_id=case.id if case else None,
            at=self._clock(),
            until=until,
        )
        await self._cases.act(action)
        if case is None:
            self._on_action(action)
