"""Checks whether a user may ask now; lists refusals in the moderation log at a limited rate."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection

from cachetools import TTLCache

from bot.i18n.durations import Duration
from bot.moderation.cases import NewCase
from bot.moderation.errors import (
    ModerationRefusal,
    SlowMode,
    UserBanned,
    UserNotAllowed,
    UserTimedOut,
)
from bot.moderation.lists import ModerationLists
from bot.moderation.model import Case, CaseKind, Place
from bot.moderation.restrictions import check_restrictions
from bot.store.ledger import Ledger

# A refusal of the same kind is listed once for a user and server in this time: a refused user
# may try again at any rate.
LISTED_SECONDS = 3600.0
LISTED_USERS = 10_000

# The reasons in the log. A ban of the whole server is not listed: moderators cannot change it.
REASONS: dict[type[ModerationRefusal], str] = {
    UserBanned: "banned",
    UserTimedOut: "timed out",
    UserNotAllowed: "not on the allow list",
    SlowMode: "slow mode",
}

CaseOpener = Callable[[NewCase], Awaitable[Case]]
"""Records a case and posts it in the server's log."""


class UserChecks:
    """Bans, allow lists, timeouts and the time between two requests."""

    def __init__(
        self,
        lists: ModerationLists,
        ledger: Ledger,
        open_case: CaseOpener,
        clock: Callable[[], float],
    ) -> None:
        self._lists = lists
        self._ledger = ledger
        self._open_case = open_case
        self._clock = clock
        # (server, user, kind of refusal) → the case that lists it.
        self._listed: TTLCache[tuple[int, int, type[ModerationRefusal]], int] = TTLCache(
            LISTED_USERS, LISTED_SECONDS, timer=clock
        )

    async def check(
        self,
        place: Place,
        user_id: int,
        role_ids: Collection[int],
        *,
        cooldown_seconds: float = 0,
    ) -> None:
        """Check the lists, and the time since the user's last request here: slow mode's, or
        `cooldown_seconds` if that is longer. An accepted request starts the wait.

        Raises:
            ServerBanned, UserBanned, UserTimedOut, UserNotAllowed, SlowMode: the user may not ask
                now.
        """
        await self.check_lists(place, user_id, role_ids)
        await self.check_wait(place, user_id, cooldown_seconds)

    async def check_wait(self, place: Place, user_id: int, cooldown_seconds: float) -> None:
        """Check the time since the user's last accepted request here, as in `check`.

        Raises:
            SlowMode: the user may not ask yet.
        """
        try:
            await self._check_slow_mode(place, user_id, cooldown_seconds)
        except SlowMode as refusal:
            await self._list(place, user_id, refusal)
            raise

    async def check_lists(self, place: Place, user_id: int, role_ids: Collection[int]) -> None:
        """Check the lists of users and roles.

        Raises:
            ServerBanned, UserBanned, UserTimedOut, UserNotAllowed: the user may not use the bot
                now.
        """
        entries = await self._lists.restrictions(place)
        try:
            check_restrictions(entries, place, user_id, role_ids, self._clock())
        except ModerationRefusal as refusal:
            await self._list(place, user_id, refusal)
            raise

    async def _check_slow_mode(self, place: Place, user_id: int, cooldown_seconds: float) -> None:
        slow_mode = (await self._lists.policy(place.guild_id)).slow_mode_seconds
        wait = max(slow_mode, cooldown_seconds)
        if not wait:
            return
        last = await self._ledger.last_request(place.guild_id, user_id)
        left = 0.0 if last is None else last + wait - self._clock()
        if left > 0:
            raise SlowMode(wait=Duration(int(left) + 1))

    async def _list(self, place: Place, user_id: int, refusal: ModerationRefusal) -> None:
        """Open a case for the refusal. A user may appeal one for a ban or a timeout."""
        guild_id = place.guild_id
        reason = REASONS.get(type(refusal))
        if guild_id is None or reason is None:
            return
        if (await self._lists.policy(guild_id)).log_channel_id is None:
            return
        key = (guild_id, user_id, type(refusal))
        case_id = self._listed.get(key)
        if case_id is None:
            case = await self._open_case(
                NewCase(
                    kind=CaseKind.USER,
                    guild_id=guild_id,
                    channel_id=place.channel_id,
                    user_id=user_id,
                    reason=reason,
                )
            )
            case_id = self._listed[key] = case.id
        if isinstance(refusal, UserBanned | UserTimedOut):
            refusal.case_id = case_id
