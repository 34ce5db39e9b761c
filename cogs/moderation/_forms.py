"""The form behind *Ban* and *Time out*: why, and for how long."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Self

import discord

from bot.client import RedrawBot
from bot.i18n.translate import translate
from cogs.shared.forms import Form, number_in

Interaction = discord.Interaction[RedrawBot]
Submitted = Callable[[Interaction, str, int], Awaitable[None]]

MAX_MINUTES = 60 * 24 * 365
DEFAULT_MINUTES = 60


class ReasonForm(Form):
    """Calls `submitted` with the reason and the minutes (0 without that field)."""

    def __init__(self, locale: str, submitted: Submitted, *, with_minutes: bool) -> None:
        super().__init__(translate(locale, "moderation.form.title"), locale)
        self._submitted = submitted
        self._with_minutes = with_minutes
        self.reason = self.field(
            translate(locale, "moderation.form.reason"), custom_id="reason", max_length=400
        )
        if with_minutes:
            self.minutes = self.field(
                translate(locale, "moderation.form.minutes"),
                str(DEFAULT_MINUTES),
                custom_id="minutes",
                required=True,
                max_length=6,
            )

    def copy(self) -> Self:
        """The same form."""
        return type(self)(self.locale, self._submitted, with_minutes=self._with_minutes)

    async def on_submit(self, interaction: discord.Interaction[Any], /) -> None:
        """Read the fields and act.

        Raises:
            NotANumberBetween: the minutes are not a number in their range.
        """
        minutes = 0
        if self._with_minutes:
            label = translate(self.locale, "moderation.form.minutes")
            minutes = int(number_in(self.minutes.value, label, 1, MAX_MINUTES))
        await self._submitted(interaction, self.reason.value.strip(), minutes)
