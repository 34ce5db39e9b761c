"""The limits of a role or user, in words."""

from __future__ import annotations

from bot.i18n.durations import duration
from bot.i18n.lists import cut_list
from bot.i18n.translate import translate
from bot.jobs.budgets import RoleLimits

# A message holds 2,000 characters; the other lines of `/quota` take less than half of them.
MODEL_CHARACTERS = 800


def limit_lines(
    limits: RoleLimits, locale: str, *, model_characters: int = MODEL_CHARACTERS
) -> list[str]:
    """One line for each limit besides the budget. The list of models is cut to
    `model_characters`."""
    lines = []
    values = {
        "quota.steps": limits.steps,
        "quota.pictures": limits.pictures,
        "quota.megapixels": limits.megapixels,
    }
    for key, value in values.items():
        if value is not None:
            lines.append(translate(locale, key, limit=value))
    if limits.cooldown_seconds:
        seconds = duration(locale, limits.cooldown_seconds)
        lines.append(translate(locale, "quota.cooldown", seconds=seconds))
    if limits.models is not None:
        models = cut_list(limits.models, locale, limit=model_characters) or "—"
        lines.append(translate(locale, "quota.models", models=models))
    if limits.private is False:
        lines.append(translate(locale, "quota.not_private"))
    return lines
