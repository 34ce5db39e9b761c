"""Fills a new request's settings from its user's defaults."""

from __future__ import annotations

from dataclasses import replace

from bot.client import Services
from cogs.requests.request import Draft

# The style that a user chooses to have none although `/defaults` names one.
NO_STYLE = "none"


async def with_defaults(services: Services, user_id: int, draft: Draft) -> Draft:
    """The draft with the user's defaults where it has no value.

    For requests that a user writes; those made from a job have that job's settings. A default
    style that the operator has removed since then is left out.
    """
    defaults = await services.store.user_defaults.of(user_id)
    style = draft.style
    if style is None and defaults.style in list(services.styles.matching("")):
        style = defaults.style
    steps = draft.steps
    if steps is None and defaults.steps is not None:
        steps = min(defaults.steps, services.settings.max_steps)
    return replace(
        draft,
        strength=defaults.strength if draft.strength is None else draft.strength,
        steps=steps,
        style=None if style == NO_STYLE else style,
        private=defaults.private if draft.private is None else draft.private,
    )
