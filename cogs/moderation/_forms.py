"""The form behind *Ban* and *Time out*: why, and for how long."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import discord

from bot.client import RedrawBot
from bot.i18n.translate import translate
from cogs.shared.errors import NotANumberBetween
from cogs.shared.forms import Form, TextInput

Interaction = discord.Interaction[RedrawBot]
Submitted = Callable[[Interaction, str, int | None], Awaitable[None]]

MAX_MINUTES = 60 * 24 * 365
DEFAULT_MINUTES = 60


class ReasonForm(Form):
    """Calls `submitted` with the reason, and the minutes if it has that field."""

    def __init__(self, locale: str, submitted: Submitted, *, with_minutes: bool) -> None:
        super().__init__(translate(locale, "moderation.form.title"), locale)
        self._submitted = submitted
        self.reason = self.field(
            translate(locale, "moderation.form.reason"), custom_id="reason", max_length=400
        )
        self.minutes: TextInput | None = None
        if with_minutes:
            self.minutes = self.field(
                translate(locale, "moderation.form.minutes"),
                str(DEFAULT_MINUTES),
                custom_id="minutes",
                required=True,
                max_length=6,
            )

    def copy(self) -> ReasonForm:
        """See `Form`."""
        return ReasonForm(self.locale, self._submitted, with_minutes=self.minutes is not None)

    async def on_submit(self, interaction: discord.Interaction[Any], /) -> None:
        """Read the fields and act.

        Raises:
            NotANumberBetween: the minutes are not a number in their range.
        """
        minutes = None
        if self.minutes is not None:
            typed = self.minutes.value.strip()
            minutes = int(typed) if typed.isdecimal() else 0
            if not 1 <= minutes <= MAX_MINUTES:
                field = translate(self.locale, "moderation.form.minutes")
                raise NotANumberBetween(field=field, low=1, high=MAX_MINUTES)
        await self._submitted(interaction, self.reason.value.strip(), minutes)
