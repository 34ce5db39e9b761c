"""User-visible texts by key and language, read from one TOML file per language in `locales/`."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from importlib.resources import files
from typing import Any

import discord
from discord import app_commands

from bot.i18n.plurals import format_text

LANGUAGES = ("en", "de", "fr", "es", "ja")

# The text of another key, such as the name of an option: `@{img2img.name.image}`.
_REFERENCE = re.compile(r"@\{([\w.]+)\}")


@cache
def catalogue(language: str) -> dict[str, str]:
    """Key (`section.key`) → template, for one of `LANGUAGES`.

    Raises:
        KeyError: a template refers to a key that does not exist.
    """
    text = files("bot.i18n").joinpath("locales", f"{language}.toml").read_text(encoding="utf-8")
    templates = {
        f"{section}.{key}": template
        for section, entries in tomllib.loads(text).items()
        for key, template in entries.items()
    }
    return {
        key: _REFERENCE.sub(lambda match: templates[match[1]], template)
        for key, template in templates.items()
    }


def language_of(locale: str) -> str:
    """Discord's locale (`de`, `es-ES`, `en-GB`) → one of `LANGUAGES`; English if there is none."""
    language = locale.split("-", maxsplit=1)[0]
    return language if language in LANGUAGES else "en"


def translate(locale: str | discord.Locale, key: str, /, **params: Any) -> str:
    """The text for `key` in the user's language, or in English where it is not translated.

    Raises:
        KeyError: the key does not exist, not even in English.
    """
    template = catalogue(language_of(str(locale))).get(key) or catalogue("en")[key]
    return format_text(language_of(str(locale)), template, params)


def about_of(locale: str | discord.Locale, model: str) -> str:
    """What a model of the catalogue is good at, in one sentence; empty for other models."""
    return catalogue(language_of(str(locale))).get(f"about.{model}", "")


def notice_of(locale: str | discord.Locale, model: str) -> str:
    """A note about the quality of a model's pictures (toy model, noise); empty for most models."""
    return catalogue(language_of(str(locale))).get(f"notice.{model}", "")


def localized_name(key: str) -> app_commands.locale_str:
    """A name or description for a command's signature; `CommandTranslator` translates it."""
    return app_commands.locale_str(catalogue("en")[key], key=key)


class CommandTranslator(app_commands.Translator):
    """Gives Discord the names and descriptions of commands and options in every language."""

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
