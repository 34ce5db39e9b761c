"""Texts with plural forms: `{count} {count:picture|pictures}`."""

from __future__ import annotations

import string
from collections.abc import Mapping
from typing import Any


class _Formatter(string.Formatter):
    """`str.format` with one more format specification, `singular|plural`, for a number."""

    def __init__(self, language: str) -> None:
        self._language = language

    def format_field(self, value: Any, format_spec: str) -> str:
        singular, bar, plural = format_spec.partition("|")
        if not bar:
            return str(super().format_field(value, format_spec))
        return singular if is_singular(self._language, value) else plural


def format_text(language: str, template: str, params: Mapping[str, Any]) -> str:
    """The template with its parameters, in the plural forms of a language, such as `de`.

    Raises:
        KeyError: a parameter is missing.
    """
    return _Formatter(language).vformat(template, (), params)


def counted(number: int, singular: str, plural: str) -> str:
    """A number with its word, in the English texts for operators: `1 picture`, `2 pictures`."""
    return f"{number} {singular if is_singular('en', number) else plural}"


def is_singular(language: str, number: float) -> bool:
    """Whether a word that this number counts is in the singular. Japanese has one form only.

    The rules of English, German, French and Spanish, for numbers below a million:
    https://www.unicode.org/cldr/charts/latest/supplemental/language_plural_rules.html
    """
    return 0 <= number < 2 if language == "fr" else number == 1
