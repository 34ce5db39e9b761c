"""Decides from the lists of users and roles whether a user may use the bot."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from bot.moderation.errors import ServerBanned, UserBanned, UserNotAllowed, UserTimedOut
from bot.moderation.model import Effect, Place, Restriction, Subject


def check_restrictions(
    entries: Iterable[Restriction],
    place: Place,
    user_id: int,
    role_ids: Collection[int],
    now: float,
) -> None:
    """Check a user against the entries for a place. `now` is in seconds since the epoch.

    Raises:
        ServerBanned, UserBanned, UserTimedOut, UserNotAllowed: the user may not use the bot now.
    """
    current = [entry for entry in entries if entry.until is None or entry.until > now]
    if any(
        entry.subject is Subject.SERVER and entry.subject_id == place.guild_id for entry in current
    ):
        raise ServerBanned
    own = [
        entry
        for entry in current
        if (entry.subject is Subject.USER and entry.subject_id == user_id)
        or (entry.subject is Subject.ROLE and entry.subject_id in role_ids)
    ]
    if any(entry.effect is Effect.BAN for entry in own):
        raise UserBanned
    ends = [entry.until for entry in own if entry.effect is Effect.TIMEOUT and entry.until]
    if ends:
        raise UserTimedOut(until=f"<t:{int(max(ends))}:R>")
    for scope in place.scopes:
        allowed = {e for e in current if e.guild_id == scope and e.effect is Effect.ALLOW}
        if allowed and allowed.isdisjoint(own):
            raise UserNotAllowed
