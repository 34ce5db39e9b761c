"""Everything a person reads, by key and language: one TOML file a language in `bot/locales`."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import discord
from discord import app_commands

from bot.errors import UserError

LANGUAGES = ("en", "de", "fr", "es", "ja")


@cache
def catalogue(language: str) -> dict[str, str]:
    """Key (`section.key`) → template, for one of `LANGUAGES`."""
    text = files("bot.i18n").joinpath("locales", f"{language}.toml").read_text(encoding="utf-8")
    return {
        f"{section}.{key}": template
        for section, entries in tomllib.loads(text).items()
        for key, template in entries.items()
    }


def language_of(locale: str) -> str:
    """Discord's locale (`de`, `es-ES`, `en-GB`) → one of `LANGUAGES`; English if there is none."""
    language = locale.split("-", maxsplit=1)[0]
    return language if language in LANGUAGES else "en"


def translate(locale: str | discord.Locale, key: str, **params: Any) -> str:
    """The sentence `key` in the person's language, or in English where it is not translated.

    Raises:
        KeyError: no such key, not even in English.
    """
    template = catalogue(language_of(str(locale))).get(key) or catalogue("en")[key]
    return template.format(**params)


@dataclass(frozen=True, slots=True)
class WaitTime:
    """A time to wait, as one says it: rounded up, never more exact than it is known. Inside a
    sentence it is said in the sentence's language."""

    seconds: float | None

    def localized(self, locale: str | discord.Locale) -> str:
        """In that language: `a minute`, `3 minutes`, `2 hours`; `a few minutes` if not known."""
        if self.seconds is None:
            return translate(locale, "wait.unknown")
        if self.seconds <= 60:
            return translate(locale, "wait.minute")
        if self.seconds <= 90 * 60:
            return translate(locale, "wait.minutes", n=-int(-self.seconds // 60))
        return translate(locale, "wait.hours", n=-int(-self.seconds // 3600))

    def __str__(self) -> str:
        return self.localized("en")


def translate_error(locale: str | discord.Locale, error: UserError) -> str:
    """The error's sentence in the person's language; its class name is the key."""
    template = catalogue(language_of(str(locale))).get(f"errors.{type(error).__name__}")
    params = {
        name: value.localized(locale) if isinstance(value, WaitTime) else value
        for name, value in error.params.items()
    }
    return (template or error.text).format(**params)


def notice_of(locale: str | discord.Locale, model: str) -> str:
    """What a person should know of a model's pictures (a toy's, noise); empty for most models."""
    return catalogue(language_of(str(locale))).get(f"notice.{model}", "")


def localized_name(key: str) -> app_commands.locale_str:
    """A name or description for a command's signature, translated by `Translator`."""
    return app_commands.locale_str(catalogue("en")[key], key=key)


class CommandTranslator(app_commands.Translator):
    """Gives Discord the command names, options and descriptions in every language we have."""

    async def translate(
        self,
        string: app_commands.locale_str,
        locale: discord.Locale,
        context: app_commands.TranslationContextTypes,
    ) -> str | None:
        """The translation, or None where there is none (English is the source)."""
        key = string.extras.get("key")
        language = language_of(str(locale))
        if key is None or language == "en":
            return None
        return catalogue(language).get(key)
