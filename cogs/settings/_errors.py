"""The errors of `/settings`.

UserError
└── RequestError
    └── SettingsFileInvalid    the imported file cannot be used
"""

from __future__ import annotations

from dataclasses import dataclass

import discord

from bot.errors import RequestError
from bot.i18n.translate import translate

# A name in a file may be of any length.
NAME_CHARACTERS = 200


@dataclass(frozen=True, slots=True, init=False)
class Problem:
    """Why a file cannot be used: a text of the locales under `key`, with its parameters."""

    key: str
    params: dict[str, object]

    def __init__(self, key: str, /, **params: object) -> None:
        object.__setattr__(self, "key", key)
        object.__setattr__(self, "params", params)

    def localized(self, locale: str | discord.Locale) -> str:
        """In that language, without a full stop."""
        return translate(locale, self.key, **self.params)

    def __str__(self) -> str:
        return self.localized("en")


def shown_name(name: str) -> str:
    """A name of the file in one line."""
    return " ".join(name.split())[:NAME_CHARACTERS]


class SettingsFileInvalid(RequestError):
    """The file was not stored. `problem` is a `Problem`."""

    text = "This file cannot be used, and nothing was changed: {problem}."
