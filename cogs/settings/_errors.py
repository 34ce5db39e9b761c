"""The errors of `/settings`.

UserError
└── RequestError
    └── SettingsFileInvalid    the imported file cannot be used
"""

from bot.errors import RequestError


class SettingsFileInvalid(RequestError):
    """The file was not stored."""

    text = "This file cannot be used, and nothing was changed: {problem}."
