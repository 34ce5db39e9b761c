"""Fills a new request's settings from its user's defaults."""

from __future__ import annotations

from dataclasses import replace

import discord

from bot.client import Services
from cogs.requests.draft import MAX_STEPS, Draft
from cogs.requests.terms import terms_for

# The style that a user chooses to have none although `/defaults` names one.
NO_STYLE = "none"


async def with_defaults(
    services: Services, user: discord.User | discord.Member, guild_id: int | None, draft: Draft
) -> Draft:
    """The draft with the user's defaults where it has no value, within what the user's roles allow
    here, and then with the server's style.

    For requests that a user writes; those made from a job have that job's settings. A default
    style that the operator has removed since then is left out.
    """
    defaults = await services.store.user_defaults.of(user.id)
    terms = await terms_for(services, user, guild_id)
    known = set(services.styles.matching(""))
    usual = (defaults.style, terms.options.style)
    style = draft.style or next((name for name in usual if name in known), None)
    limit = min(services.settings.max_steps, terms.limits.steps or MAX_STEPS)
    steps = draft.steps
    if steps is None and defaults.steps is not None:
        steps = min(defaults.steps, limit)
    private = draft.private
    if private is None:
        private = defaults.private and terms.limits.private is not False
    return replace(
        draft,
        strength=defaults.strength if draft.strength is None else draft.strength,
        steps=steps,
        style=None if style == NO_STYLE else style,
        private=private,
    )
