"""The errors of `/admin`.

UserError
└── RequestError
    ├── OperatorOnly         the user does not own the application
    ├── NoTarget             neither a user nor a server was given, or both
    ├── NotAServerId         the server's id is not possible
    ├── NoSuchBan            there is no such ban
    └── StylesInvalid        the file of styles cannot be read
"""

from bot.errors import RequestError


class OperatorOnly(RequestError):
    """The user neither owns the application nor is in its team."""

    text = "Only the bot's operator can do that."


class NoTarget(RequestError):
    """Exactly one of the two options is needed; a server is given by its id."""

    text = "Give either a user, or the id of a server."


class NotAServerId(RequestError):
    """A text without an id, or a number that is too large for one."""

    text = "{server} is not the id of a server."


class NoSuchBan(RequestError):
    """There is no such ban."""

    text = "{target} is not banned."


class StylesInvalid(RequestError):
    """The styles are not changed."""

    text = "The styles were not changed: {problem}"
