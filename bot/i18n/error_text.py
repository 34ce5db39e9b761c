"""The sentence of an error in the user's language."""

from __future__ import annotations

from typing import Any, ClassVar, Protocol

import discord

from bot.i18n.durations import Localized
from bot.i18n.plurals import format_text
from bot.i18n.translate import catalogue, language_of


class Translatable(Protocol):
    """A `bot.errors.UserError`; that module imports this package."""

    text: ClassVar[str]
    params: dict[str, Any]


def translate_error(locale: str | discord.Locale, error: Translatable) -> str:
    """The error's sentence, found under `errors.<class name>`; in English if not translated."""
    language = language_of(str(locale))
    template = catalogue(language).get(f"errors.{type(error).__name__}", error.text)
    params = {
        name: value.localized(locale) if isinstance(value, Localized) else value
        for name, value in error.params.items()
    }
    return format_text(language, template, params)
