"""Lists in a sentence or message, cut to a number of characters: `a, b, … and 12 more`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import discord

from bot.i18n.translate import translate


def cut_list(
    parts: Sequence[str], locale: str | discord.Locale, *, limit: int, separator: str = ", "
) -> str:
    """The parts in one text of at most `limit` characters.

    Parts that do not fit are left out from the end, and the text then ends with their number.
    """
    whole = separator.join(parts)
    if len(whole) <= limit:
        return whole
    left = limit - len(translate(locale, "moderation.more", count=len(parts)))
    shown: list[str] = []
    for part in parts:
        left -= len(part) + len(separator)
        if left < 0:
            break
        shown.append(part)
    more = translate(locale, "moderation.more", count=len(parts) - len(shown))
    return separator.join([*shown, more])


@dataclass(frozen=True, slots=True)
class Listed:
    """Parameter of an error: a list of at most `limit` characters, as `cut_list` writes it."""

    parts: tuple[str, ...]
    limit: int = 1000

    def localized(self, locale: str | discord.Locale) -> str:
        """The list with the number of the omitted parts in that language."""
        return cut_list(self.parts, locale, limit=self.limit)

    def __str__(self) -> str:
        return self.localized("en")
