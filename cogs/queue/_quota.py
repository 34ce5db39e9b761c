"""The text of `/quota`: budgets, their renewal, and the limits of the user's roles."""

from __future__ import annotations

import discord

from bot.client import Services
from bot.i18n.durations import duration
from bot.i18n.translate import translate
from cogs.requests.limit_text import limit_lines
from cogs.requests.terms import terms_for


async def quota_text(
    services: Services, user: discord.User | discord.Member, guild_id: int | None, locale: str
) -> str:
    """The user's use of today, each budget that holds, and each limit, one a line."""
    terms = await terms_for(services, user, guild_id)
    accounting = services.runner.accounting
    spent = await accounting.spent(user.id, guild_id)
    lines = [translate(locale, "quota.used", used=_used(locale, spent.user))]
    budgets = {
        "quota.user": (terms.allowance.user, spent.user),
        "quota.user_here": (terms.allowance.user_here, spent.user_here),
        "quota.server": (terms.allowance.server, spent.server),
    }
    for key, (limit, used) in budgets.items():
        if limit is not None:
            left = _used(locale, max(0.0, limit - used))
            lines.append(translate(locale, key, left=left, limit=_used(locale, limit)))
    if len(lines) == 1:
        lines.append(translate(locale, "quota.unlimited"))
    else:
        when = f"<t:{int(accounting.renews_at)}:R>"
        lines.append(translate(locale, "quota.renews", when=when))
    return "\n".join([*lines, *limit_lines(terms.limits, locale)])


def _used(locale: str, seconds: float) -> str:
    """Seconds as a duration; 0 is not rounded up."""
    return duration(locale, seconds) if seconds else translate(locale, "duration.seconds", n=0)
