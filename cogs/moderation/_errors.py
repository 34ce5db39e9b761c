"""The errors of moderation's commands and buttons.

UserError
└── RequestError
    ├── NotModerator       the button is for members with Manage Messages
    ├── NotOperator        `everywhere` is for the application's owners
    ├── NotListed          nothing to lift: no such ban, timeout or entry
    ├── BadRule            the pattern is no expression, or matches everything
    ├── RuleExists         the same rule exists
    ├── NoSuchRule         no rule has this number
    ├── CaseGone           the case is not stored
    ├── PictureNotKept     a picture's hash is not kept, or it is too plain to have one
    ├── NothingToUndo      nothing was done about the case that can be undone
    ├── NothingToReport    the message is not one of the bot's pictures
    └── AppealedAlready    one appeal a day
"""

from bot.errors import RequestError


class NotModerator(RequestError):
    """The member lacks Manage Messages."""

    text = "Only moderators can do that."


class NotOperator(RequestError):
    """The user does not own the application."""

    text = "Only the bot's operator can do that for every server."


class NotListed(RequestError):
    """There is no such entry."""

    text = "{target} is not on that list."


class BadRule(RequestError):
    """See `InvalidPattern`."""

    text = "This rule cannot be used: {problem}."


class RuleExists(RequestError):
    """The pattern is listed already."""

    text = "There is already such a rule."


class NoSuchRule(RequestError):
    """The number is not this server's."""

    text = "There is no rule with the number {number} here."


class CaseGone(RequestError):
    """The database was deleted, or the button belongs to another server."""

    text = "I do not know this case."


class PictureNotKept(RequestError):
    """The retention time is over, or the picture has too little structure."""

    text = "This picture cannot be recognised: it is too plain, or it is no longer stored."


class NothingToUndo(RequestError):
    """Deleting cannot be undone."""

    text = "There is nothing that can be undone."


class NothingToReport(RequestError):
    """The message holds no job button."""

    text = "Only pictures that I made can be reported."


class AppealedAlready(RequestError):
    """Less than a day ago."""

    text = "You can appeal once a day."
