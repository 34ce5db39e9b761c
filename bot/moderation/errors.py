"""The errors of moderation. Their sentences for the user do not name the rule.

UserError
├── RequestError
│   └── ModerationRefusal     a decision about the user or what they sent
│       ├── ServerBanned      the operator banned the server
│       ├── UserBanned        on a ban list, of the server or the operator
│       ├── UserTimedOut      banned for a time
│       ├── UserNotAllowed    there is an allow list, and the user is not on it
│       ├── SlowMode          too soon after the user's last request
│       ├── PromptRefused     a prompt rule matches
│       └── PictureRefused    the classifier's score is too high, or the picture is blocked
└── UnavailableError
    └── ChecksUnavailable     a check could not run, which counts as a refusal
"""

from __future__ import annotations

from typing import Any

from bot.errors import RequestError, UnavailableError


class ModerationRefusal(RequestError):
    """`case_id` names the case that a moderator sees and the user may appeal; None: no appeal."""

    def __init__(self, *, case_id: int | None = None, **params: Any) -> None:
        self.case_id = case_id
        super().__init__(**params)


class ServerBanned(ModerationRefusal):
    """No user may use the bot in this server."""

    text = "This bot is not available in this server."


class UserBanned(ModerationRefusal):
    """Raised before anything is fetched."""

    text = "You may not use this bot here."


class UserTimedOut(ModerationRefusal):
    """`until` is Discord's markup of the time."""

    text = "You may use this bot again {until}."


class UserNotAllowed(ModerationRefusal):
    """The server or the operator has an allow list."""

    text = "Only chosen members may use this bot here."


class SlowMode(ModerationRefusal):
    """`wait` is the time that is left."""

    text = "Slow mode is on: you can ask for the next picture in {wait}."


class PromptRefused(ModerationRefusal):
    """A rule matches the prompt, the negative prompt or the style."""

    text = "This prompt is not allowed here."


class PictureRefused(ModerationRefusal):
    """The source picture."""

    text = "This picture cannot be used here: the image check refused it."


class ChecksUnavailable(UnavailableError):
    """The classifier is starting or failing, or a rule did not end."""

    text = (
        "The content checks are not running at the moment, so I cannot take requests. "
        "Please try again in a few minutes."
    )
