"""What to do about each error that Discord may give while an answer is delivered, as a table."""

from __future__ import annotations

from enum import Enum, auto

import aiohttp
import discord

from bot.jobs.pictures import PictureLost


class Reaction(Enum):
    """What follows an error. None of them ends with nothing said unless nothing can be said."""

    RETRY = auto()
    """The same once more after a pause: it may or may not have arrived."""
    OTHER_WAY = auto()
    """This way is closed: the next one (edit with the bot's token, new message, direct message)."""
    SMALLER = auto()
    """Encode the pictures for half the limit and try again."""
    BLOCKED = auto()
    """Discord will not show this content: a sentence in place of the pictures."""
    MALFORMED = auto()
    """We built something that Discord does not accept: a sentence, and an error in the log."""
    LOST = auto()
    """The picture is not on the disk any more: a sentence."""
    KEEP = auto()
    """The bot's own token is refused: nothing can be sent until the operator acts."""


# JSON error codes: https://discord.com/developers/docs/topics/opcodes-and-status-codes
CODES: dict[int, Reaction] = {
    10003: Reaction.OTHER_WAY,  # unknown channel
    10004: Reaction.OTHER_WAY,  # unknown guild
    10008: Reaction.OTHER_WAY,  # unknown message: deleted
    10015: Reaction.OTHER_WAY,  # unknown webhook: the interaction token has expired
    10062: Reaction.OTHER_WAY,  # unknown interaction: expired, or never acknowledged in time
    20009: Reaction.BLOCKED,  # explicit content cannot be sent to the recipient
    30046: Reaction.OTHER_WAY,  # too many edits of a message older than an hour
    40005: Reaction.SMALLER,  # request entity too large
    40060: Reaction.OTHER_WAY,  # interaction already acknowledged: not ours to answer any more
    50001: Reaction.OTHER_WAY,  # missing access
    50005: Reaction.OTHER_WAY,  # cannot edit another user's message
    50007: Reaction.OTHER_WAY,  # cannot send messages to this user
    50013: Reaction.OTHER_WAY,  # missing permissions
    50027: Reaction.OTHER_WAY,  # invalid webhook token: the 15 minutes are over
    50035: Reaction.MALFORMED,  # invalid form body
    50083: Reaction.OTHER_WAY,  # thread is archived
    160005: Reaction.OTHER_WAY,  # thread is locked
    200000: Reaction.BLOCKED,  # blocked by the server's automatic moderation
    200001: Reaction.BLOCKED,  # title blocked by automatic moderation
    240000: Reaction.BLOCKED,  # harmful link
}
# Where the code says nothing.
STATUSES: dict[int, Reaction] = {
    400: Reaction.MALFORMED,
    401: Reaction.OTHER_WAY,
    403: Reaction.OTHER_WAY,
    404: Reaction.OTHER_WAY,
    408: Reaction.RETRY,
    413: Reaction.SMALLER,
    429: Reaction.RETRY,
}
# A connection that broke, and an answer that is no JSON or only half of it: `discord` hands on
# what `json` or its own parsing raised.
BROKEN = (aiohttp.ClientError, OSError, TimeoutError, ValueError, TypeError, KeyError)


def reaction_to(error: Exception, *, as_bot: bool) -> Reaction:
    """The decided reaction. `as_bot` says whether the call was made with the bot's token and not
    with an interaction's."""
    match error:
        case discord.HTTPException(status=401) if as_bot:
            return Reaction.KEEP
        case discord.HTTPException(code=code) if code in CODES:
            return CODES[code]
        case discord.HTTPException(status=status):
            return STATUSES.get(status, Reaction.RETRY if status >= 500 else Reaction.MALFORMED)
        case PictureLost():
            return Reaction.LOST
        case discord.RateLimited():
            return Reaction.RETRY
    return Reaction.RETRY if isinstance(error, BROKEN) else Reaction.MALFORMED


def retry_after(error: Exception) -> float:
    """Seconds that Discord asks to wait; 0.0 if it asks nothing."""
    match error:
        case discord.RateLimited():
            return error.retry_after
        case discord.HTTPException():
            try:
                return float(error.response.headers.get("Retry-After", 0.0))
            except ValueError:
                return 0.0
    return 0.0
