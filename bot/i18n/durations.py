"""Durations as text: exact ones for results, rounded ones for waiting times."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import discord

from bot.i18n.translate import translate


def duration(locale: str | discord.Locale, seconds: float) -> str:
    """A duration in seconds, minutes or hours, abbreviated: `8 s`, `3 min`, `2 h`."""
    if seconds < 90:
        return translate(locale, "duration.seconds", n=max(1, round(seconds)))
    if seconds < 90 * 60:
        return translate(locale, "duration.minutes", n=round(seconds / 60))
    return translate(locale, "duration.hours", n=round(seconds / 3600))


@runtime_checkable
class Localized(Protocol):
    """A parameter of an error that is translated together with the error's sentence."""

    def localized(self, locale: str | discord.Locale) -> str:
        """The parameter in that language."""
        ...


@dataclass(frozen=True, slots=True)
class Duration:
    """A duration in seconds, as `duration` words it."""

    seconds: float

    def localized(self, locale: str | discord.Locale) -> str:
        """In that language: `8 s`, `3 min`, `2 h`."""
        return duration(locale, self.seconds)

    def __str__(self) -> str:
        return self.localized("en")


@dataclass(frozen=True, slots=True)
class WaitTime:
    """An estimated waiting time, rounded up. `seconds` is None if there is no estimate."""

    seconds: float | None

    def localized(self, locale: str | discord.Locale) -> str:
        """In that language: `a minute`, `3 minutes`, `2 hours`, or `a few minutes`."""
        if self.seconds is None:
            return translate(locale, "wait.unknown")
        if self.seconds <= 60:
            return translate(locale, "wait.minute")
        if self.seconds <= 90 * 60:
            return translate(locale, "wait.minutes", n=-int(-self.seconds // 60))
        return translate(locale, "wait.hours", n=-int(-self.seconds // 3600))

    def __str__(self) -> str:
        return self.localized("en")
