"""The form behind *Ban* and *Time out*: why, and for how long."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import discord

from bot.client import RedrawBot
from bot.commands.command_tree import handle_error
from bot.i18n.translate import translate
from cogs.shared.errors import NotANumberBetween

Interaction = discord.Interaction[RedrawBot]
Submitted = Callable[[Interaction, str, int], Awaitable[None]]

MAX_MINUTES = 60 * 24 * 365
DEFAULT_MINUTES = 60
# A dismissed form sends nothing; after this time discord.py forgets it.
FORM_SECONDS = 15 * 60.0


class ReasonForm(discord.ui.Modal):
    """Calls `submitted` with the reason and the minutes (0 without that field)."""

    def __init__(self, locale: str, submitted: Submitted, *, with_minutes: bool) -> None:
        title = translate(locale, "moderation.form.title")
        super().__init__(title=title, timeout=FORM_SECONDS)
        self._locale = locale
        self._submitted = submitted
        self.reason = discord.ui.TextInput[discord.ui.Modal](
            custom_id="reason", required=False, max_length=400
        )
        self.minutes = discord.ui.TextInput[discord.ui.Modal](
            custom_id="minutes", default=str(DEFAULT_MINUTES), max_length=6
        )
        fields = {"reason": self.reason} | ({"minutes": self.minutes} if with_minutes else {})
        for name, field in fields.items():
            text = translate(locale, f"moderation.form.{name}")
            self.add_item(discord.ui.Label(text=text, component=field))
        self._with_minutes = with_minutes

    async def on_submit(self, interaction: discord.Interaction[Any], /) -> None:
        """Read the fields and act."""
        minutes = 0
        if self._with_minutes:
            typed = self.minutes.value.strip()
            minutes = int(typed) if typed.isdecimal() else 0
            if not 1 <= minutes <= MAX_MINUTES:
                field = translate(self._locale, "moderation.form.minutes")
                raise NotANumberBetween(field=field, low=1, high=MAX_MINUTES)
        await self._submitted(interaction, self.reason.value.strip(), minutes)

    # As discord.ui.Modal itself has it.
    async def on_error(  # type: ignore[override]
        self, interaction: discord.Interaction[Any], error: Exception, /
    ) -> None:
        """Pass the error to the bot's handler."""
        await handle_error(interaction, error)
