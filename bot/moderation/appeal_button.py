"""*Appeal*, the button in the sentence of a refusal."""

from __future__ import annotations

from typing import Any

import discord

from bot.i18n.translate import translate
from bot.moderation.errors import ModerationRefusal


def appeal_button(error: Exception, locale: str) -> AppealButton | None:
    """The button for an error's sentence; None if there is nothing to appeal."""
    if isinstance(error, ModerationRefusal) and error.case_id is not None:
        return AppealButton(error.case_id, locale)
    return None


class AppealButton(discord.ui.Button[Any]):
    """Asks the moderators to look at a case again. The cog of moderation handles clicks."""

    def __init__(self, case_id: int, locale: str | discord.Locale) -> None:
        super().__init__(
            label=translate(locale, "moderation.button.appeal"),
            custom_id=f"redraw:appeal:{case_id}",
        )

    def is_dispatchable(self) -> bool:
        """False: discord.py need not keep the sent view."""
        return False
