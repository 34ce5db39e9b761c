"""The error policy: what to do about each error while an answer is delivered, as a table."""

from __future__ import annotations

from enum import Enum, auto

import aiohttp
import discord

from bot.errors import RenderFailed, StoredPictureMissing

# Repetitions of a request whose response could not be parsed.
BRIEF_RETRIES = 3


class ErrorAction(Enum):
    """What to do after an error. Every action ends in a reply unless delivery is impossible."""

    RETRY = auto()
    """Repeat the request after a pause: it may or may not have arrived."""
    RETRY_BRIEFLY = auto()
    """The response could not be parsed, or the code has a bug: repeat a few times, then use the
    next route."""
    NEXT_ROUTE = auto()
    """This route is closed: use the next one (edit as the bot, new message, direct message)."""
    SMALLER = auto()
    """Encode the pictures for half the size limit and try again."""
    BLOCKED = auto()
    """Discord blocks this content: send a sentence in place of the pictures."""
    MALFORMED = auto()
    """The bot built a message that Discord does not accept: send a sentence and log the error."""
    LOST = auto()
    """The stored picture is missing: send a sentence."""
    KEEP = auto()
    """Discord refuses the bot's token: nothing can be sent until the operator acts."""


# JSON error codes: https://discord.com/developers/docs/topics/opcodes-and-status-codes
CODES: dict[int, ErrorAction] = {
    10003: ErrorAction.NEXT_ROUTE,  # unknown channel
    10004: ErrorAction.NEXT_ROUTE,  # unknown guild
    10008: ErrorAction.NEXT_ROUTE,  # unknown message: deleted
    10015: ErrorAction.NEXT_ROUTE,  # unknown webhook: the interaction token has expired
    10062: ErrorAction.NEXT_ROUTE,  # unknown interaction: expired, or never acknowledged in time
    20009: ErrorAction.BLOCKED,  # explicit content cannot be sent to the recipient
    20016: ErrorAction.RETRY,  # slow mode
    20022: ErrorAction.RETRY,  # announcement rate limit
    20028: ErrorAction.RETRY,  # write rate limit of the channel
    20029: ErrorAction.RETRY,  # write rate limit of the server
    30046: ErrorAction.NEXT_ROUTE,  # too many edits of a message older than an hour
    40004: ErrorAction.RETRY,  # sending messages is temporarily disabled
    40005: ErrorAction.SMALLER,  # request entity too large
    40006: ErrorAction.RETRY,  # the feature is temporarily disabled
    40060: ErrorAction.NEXT_ROUTE,  # interaction already acknowledged: another process answered it
    40062: ErrorAction.RETRY,  # the resource is rate limited
    50001: ErrorAction.NEXT_ROUTE,  # missing access
    50005: ErrorAction.NEXT_ROUTE,  # cannot edit another user's message
    50007: ErrorAction.NEXT_ROUTE,  # cannot send messages to this user
    50013: ErrorAction.NEXT_ROUTE,  # missing permissions
    50027: ErrorAction.NEXT_ROUTE,  # invalid webhook token: the 15 minutes are over
    50035: ErrorAction.MALFORMED,  # invalid form body
    50045: ErrorAction.SMALLER,  # file exceeds the maximum size
    50083: ErrorAction.NEXT_ROUTE,  # thread is archived
    50278: ErrorAction.NEXT_ROUTE,  # no mutual server with this user
    110001: ErrorAction.RETRY,  # application not yet available
    130000: ErrorAction.RETRY,  # API resource is overloaded
    160005: ErrorAction.NEXT_ROUTE,  # thread is locked
    200000: ErrorAction.BLOCKED,  # blocked by the server's automatic moderation
    200001: ErrorAction.BLOCKED,  # title blocked by automatic moderation
    240000: ErrorAction.BLOCKED,  # harmful link
}
# For codes that are not in the table.
STATUSES: dict[int, ErrorAction] = {
    400: ErrorAction.MALFORMED,
    401: ErrorAction.NEXT_ROUTE,
    403: ErrorAction.NEXT_ROUTE,
    404: ErrorAction.NEXT_ROUTE,
    408: ErrorAction.RETRY,
    413: ErrorAction.SMALLER,
    429: ErrorAction.RETRY,
}
BROKEN_CONNECTION = (aiohttp.ClientError, OSError, TimeoutError)


def action_for(error: Exception, *, as_bot: bool) -> ErrorAction:
    """The action for an error. `as_bot`: the request used the bot's token, not an
    interaction's."""
    match error:
        case discord.HTTPException(status=401) if as_bot:
            return ErrorAction.KEEP
        case discord.HTTPException(code=code) if code in CODES:
            return CODES[code]
        case discord.HTTPException(status=status):
            return STATUSES.get(
                status, ErrorAction.RETRY if status >= 500 else ErrorAction.MALFORMED
            )
        case StoredPictureMissing():
            return ErrorAction.LOST
        case RenderFailed():
            return ErrorAction.MALFORMED
        case discord.RateLimited():
            return ErrorAction.RETRY
    # discord.py passes on what `json` or its own parsing raised for a response that is not JSON or
    # is incomplete; a bug looks the same.
    return ErrorAction.RETRY if isinstance(error, BROKEN_CONNECTION) else ErrorAction.RETRY_BRIEFLY


def retry_after(error: Exception) -> float:
    """The seconds that Discord asks to wait; 0.0 if it names none."""
    match error:
        case discord.RateLimited():
            return error.retry_after
        case discord.HTTPException():
            try:
                return float(error.response.headers.get("Retry-After", 0.0))
            except ValueError:
                return 0.0
    return 0.0


def describe(error: Exception) -> str:
    """The error for the log: Discord's own text only, since others may hold a URL with a token."""
    if isinstance(error, discord.HTTPException):
        return f"{error.status} {error.code} {error.text}"
    return type(error).__name__
