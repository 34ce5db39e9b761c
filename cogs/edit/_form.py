"""The form of "Edit this": the instruction, the message's pictures, and uploads."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Self

import discord

from bot.client import RedrawBot
from bot.i18n.translate import translate
from cogs.requests.draft import Draft
from cogs.requests.pictures.candidates import ImageCandidate
from cogs.requests.pictures.edit_sources import candidates_of
from cogs.shared.forms import Form

Interaction = discord.Interaction[RedrawBot]
Submit = Callable[[Interaction, Draft, Sequence[ImageCandidate]], Awaitable[None]]

# https://discord.com/developers/docs/components/reference#string-select
MAX_OPTIONS = 25


class EditModal(Form):
    """Asks for an instruction. Of a message's several pictures up to `limit` are chosen: the first
    ones unless the user changes that. Uploaded ones follow them."""

    def __init__(
        self,
        candidates: Sequence[ImageCandidate],
        locale: str,
        limit: int,
        *,
        submitted: Submit,
        chosen: Sequence[int] | None = None,
    ) -> None:
        super().__init__(translate(locale, "edit.form.title"), locale)
        self._candidates = list(candidates[:MAX_OPTIONS])
        self._limit = limit
        self._submitted = submitted
        default = range(limit) if chosen is None else chosen
        self.instruction = self.field(
            translate(locale, "edit.form.instruction"), long=True, required=True
        )
        self.choice: discord.ui.Select[discord.ui.Modal] | None = None
        if len(self._candidates) > 1:
            self.choice = discord.ui.Select(
                min_values=0,
                max_values=min(limit, len(self._candidates)),
                required=False,
                options=[
                    discord.SelectOption(
                        label=f"{number + 1}. {candidate.shown_name}"[:100],
                        value=str(number),
                        default=number in default,
                    )
                    for number, candidate in enumerate(self._candidates)
                ],
            )
            text = translate(locale, "edit.form.choice")
            self.add_item(discord.ui.Label(text=text, component=self.choice))
        self.upload = discord.ui.FileUpload[discord.ui.Modal](
            required=not candidates, min_values=0 if candidates else 1, max_values=limit
        )
        text = translate(locale, "edit.form.upload")
        self.add_item(discord.ui.Label(text=text, component=self.upload))

    def copy(self) -> Self:
        """The form with the same pictures; uploaded ones are among those to choose from."""
        uploaded = candidates_of(self.upload.values)
        candidates = [*self._candidates, *uploaded]
        first = len(self._candidates)
        chosen = [*self._chosen, *range(first, len(candidates))][: self._limit]
        return type(self)(
            candidates,
            self.locale,
            self._limit,
            submitted=self._submitted,
            chosen=chosen,
        )

    async def on_submit(self, interaction: discord.Interaction[Any], /) -> None:
        """Submit a request for the chosen and the uploaded pictures."""
        draft = Draft(prompt=self.instruction.value, task="edit")
        pictures = [self._candidates[number] for number in self._chosen]
        await self._submitted(interaction, draft, [*pictures, *candidates_of(self.upload.values)])

    @property
    def _chosen(self) -> list[int]:
        """The numbers of the chosen pictures of the message."""
        if self.choice is None:
            return list(range(len(self._candidates)))
        return sorted(int(value) for value in self.choice.values)
