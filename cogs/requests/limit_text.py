"""The limits of a role or user, in words."""

from __future__ import annotations

from bot.i18n.durations import duration
from bot.i18n.translate import translate
from bot.jobs.budgets import RoleLimits


def limit_lines(limits: RoleLimits, locale: str) -> list[str]:
    """One line for each limit besides the budget."""
    lines = []
    values = {
        "quota.steps": limits.steps,
        "quota.pictures": limits.pictures,
        "quota.megapixels": limits.megapixels,
    }
    for key, value in values.items():
        if value is not None:
            lines.append(translate(locale, key, limit=f"{value:g}"))
    if limits.cooldown_seconds:
        seconds = duration(locale, limits.cooldown_seconds)
        lines.append(translate(locale, "quota.cooldown", seconds=seconds))
    if limits.models is not None:
        lines.append(translate(locale, "quota.models", models=", ".join(limits.models) or "—"))
    if limits.private is False:
        lines.append(translate(locale, "quota.not_private"))
    return lines
