"""What moderation works with: places, restrictions, policies, cases and actions."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

# The server id under which the operator's own rules, bans and blocked pictures are stored; they
# hold everywhere. No server has it.
EVERYWHERE = 0


@dataclass(frozen=True, slots=True)
class Place:
    """Where something is asked for or shown. A direct message has no server."""

    guild_id: int | None
    channel_id: int
    age_restricted: bool = False

    @property
    def scopes(self) -> tuple[int, int]:
        """The server ids whose rules hold here: the operator's and the server's."""
        return EVERYWHERE, self.guild_id or EVERYWHERE


class Subject(StrEnum):
    """Whom a restriction names."""

    USER = "user"
    ROLE = "role"
    SERVER = "server"
    """All users of a server; the operator's lists only."""


class Effect(StrEnum):
    """What a restriction does. If a server allows anybody, only those may use the bot there."""

    BAN = "ban"
    ALLOW = "allow"
    TIMEOUT = "timeout"


@dataclass(frozen=True, slots=True, kw_only=True)
class Restriction:
    """One entry of a server's lists. `until` in seconds since the epoch; None: without end."""

    guild_id: int
    subject: Subject
    subject_id: int
    effect: Effect
    until: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GuildPolicy:
    """What a server's managers set; None: the operator's default."""

    guild_id: int
    log_channel_id: int | None = None
    threshold: float | None = None
    age_restricted_threshold: float | None = None
    slow_mode_seconds: int = 0
    log_pictures: bool = False


class CaseKind(StrEnum):
    """Why there is an entry in the moderation log."""

    USER = "user"
    """A request of a banned user, say; listed at a limited rate."""
    PROMPT = "prompt"
    SOURCE = "source"
    RESULT = "result"
    REPORT = "report"
    PICTURE = "picture"
    """Not refused: the server has every picture listed."""


class CaseState(StrEnum):
    """Whether a moderator has dealt with a case."""

    OPEN = "open"
    DISMISSED = "dismissed"
    HANDLED = "handled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A refusal or report. `bits` is the perceptual hash of the picture that it is about,
    or the joined hashes of the results that were reported.

    The prompt and the hash are removed when their retention ends or their user asks for it; what
    happened, to whom and when stays. `stripped`: they are removed.
    """

    id: int
    kind: CaseKind
    guild_id: int
    channel_id: int
    user_id: int
    job_id: str | None
    reason: str
    score: float | None
    prompt: str | None
    bits: bytes | None
    state: CaseState
    reports: int
    stripped: bool
    log_channel_id: int | None
    log_message_id: int | None
    created_at: float


class ActionKind(StrEnum):
    """What a moderator did."""

    BAN = "ban"
    UNBAN = "unban"
    ALLOW = "allow"
    DISALLOW = "disallow"
    TIMEOUT = "timeout"
    BLOCK_PICTURE = "block_picture"
    DELETE = "delete"
    DISMISS = "dismiss"
    UNDO = "undo"
    ADD_RULE = "add_rule"
    REMOVE_RULE = "remove_rule"
    SET_POLICY = "set_policy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One entry of the record: who did what, when and why. `target` is a user, role, rule, case or
    picture, in words for the export. `until` is the end of a timeout."""

    guild_id: int
    kind: ActionKind
    moderator_id: int
    target: str
    reason: str
    case_id: int | None
    at: float
    until: float | None = None
