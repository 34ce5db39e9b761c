"""Names of commands, options and menu entries as parameters of sentences."""

from __future__ import annotations

from dataclasses import dataclass

import discord

from bot.i18n.translate import translate


@dataclass(frozen=True, slots=True)
class Name:
    """Parameter of an error: the text of a key, in the language of the sentence."""

    key: str

    def localized(self, locale: str | discord.Locale) -> str:
        """The name in that language."""
        return translate(locale, self.key)

    def __str__(self) -> str:
        return self.localized("en")
