"""The form: prompt, negative prompt, strength, and what else there is room for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

import discord

from bot.client import RedrawBot
from bot.command_tree import handle_error
from bot.errors import RequestError
from bot.i18n.translate import translate
from cogs.img2img.request import MAX_SEED, Draft, StoredSource
from cogs.img2img.sources import ImageCandidate

Interaction = discord.Interaction[RedrawBot]
TextInput = discord.ui.TextInput[discord.ui.Modal]


class NotANumberBetween(RequestError):
    """A field of the form that is not what it should be."""

    text = "{field} must be a number from {low:g} to {high:g}."


def _number(text: str, field: str, low: float, high: float) -> float:
    try:
        value = float(text.strip().replace(",", "."))
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        raise NotANumberBetween(field=field, low=low, high=high)
    return value


def _optional(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


class _Form(discord.ui.Modal):
    """Errors of a form go where all errors go."""

    def __init__(self, locale: str) -> None:
        self.locale = locale
        super().__init__(title=translate(locale, "img2img.form.title"), timeout=None)

    def field(
        self,
        name: str,
        default: str,
        *,
        long: bool = False,
        required: bool = False,
        max_length: int = 1000,
    ) -> TextInput:
        """Add a labelled text field."""
        made = TextInput(
            style=discord.TextStyle.paragraph if long else discord.TextStyle.short,
            default=default or None,
            required=required,
            max_length=max_length,
        )
        label = translate(self.locale, f"img2img.form.{name}")
        self.add_item(discord.ui.Label(text=label, component=made))
        return made

    # As discord.ui.Modal itself has it.
    async def on_error(  # type: ignore[override]
        self, interaction: discord.Interaction[Any], error: Exception, /
    ) -> None:
        """Tell the person; see `bot.command_tree`."""
        await handle_error(interaction, error)


class RequestModal(_Form):
    """For *Edit* and *Use this*: everything that a request holds, filled in as it was."""

    def __init__(
        self,
        draft: Draft,
        source: StoredSource,
        locale: str,
        *,
        submitted: Callable[[Interaction, Draft, StoredSource], Awaitable[None]],
    ) -> None:
        super().__init__(locale)
        self._draft = draft
        self._source = source
        self._submitted = submitted
        self.prompt = self.field("prompt", draft.prompt, long=True, required=True)
        self.negative = self.field("negative", draft.negative_prompt, long=True)
        self.strength = self.field("strength", _optional(draft.strength), max_length=6)
        self.guidance = self.field("guidance", _optional(draft.guidance), max_length=6)
        seed = "" if draft.seed is None else str(draft.seed)
        self.seed = self.field("seed", seed, max_length=10)

    async def on_submit(self, interaction: discord.Interaction[Any], /) -> None:
        """Read the fields and ask for the picture."""
        draft = replace(
            self._draft,
            prompt=self.prompt.value,
            negative_prompt=self.negative.value,
            strength=None,
            guidance=None,
            seed=None,
        )
        if self.strength.value:
            name = translate(self.locale, "img2img.form.strength")
            draft = replace(draft, strength=_number(self.strength.value, name, 0.05, 1.0))
        if self.guidance.value:
            name = translate(self.locale, "img2img.form.guidance")
            draft = replace(draft, guidance=_number(self.guidance.value, name, 1.0, 20.0))
        if self.seed.value:
            name = translate(self.locale, "img2img.form.seed")
            draft = replace(draft, seed=int(_number(self.seed.value, name, 0, MAX_SEED)))
        await self._submitted(interaction, draft, self._source)


class PictureModal(_Form):
    """For *Redraw this* on a message: which of its pictures, or a file of one's own."""

    def __init__(
        self,
        pictures: Sequence[ImageCandidate],
        locale: str,
        *,
        submitted: Callable[[Interaction, Draft, ImageCandidate], Awaitable[None]],
    ) -> None:
        super().__init__(locale)
        self._pictures = pictures
        self._submitted = submitted
        self.prompt = self.field("prompt", "", long=True, required=True)
        self.negative = self.field("negative", "", long=True)
        self.strength = self.field("strength", "", max_length=6)
        self.choice: discord.ui.Select[discord.ui.Modal] | None = None
        if len(pictures) > 1:
            self.choice = discord.ui.Select(
                options=[
                    discord.SelectOption(
                        label=f"{number}. {found.name}"[:100],
                        value=str(number - 1),
                        default=number == 1,
                    )
                    for number, found in enumerate(pictures[:25], start=1)
                ]
            )
            text = translate(locale, "img2img.form.choice")
            self.add_item(discord.ui.Label(text=text, component=self.choice))
        self.upload = discord.ui.FileUpload[discord.ui.Modal](
            required=not pictures, min_values=0 if pictures else 1, max_values=1
        )
        text = translate(locale, "img2img.form.upload")
        self.add_item(discord.ui.Label(text=text, component=self.upload))

    async def on_submit(self, interaction: discord.Interaction[Any], /) -> None:
        """Take the picture that was chosen, and ask for it to be redrawn."""
        draft = Draft(prompt=self.prompt.value, negative_prompt=self.negative.value)
        if self.strength.value:
            name = translate(self.locale, "img2img.form.strength")
            draft = replace(draft, strength=_number(self.strength.value, name, 0.05, 1.0))
        if self.upload.values:
            own = self.upload.values[0]
            found = ImageCandidate(own.filename, own, spoiler=own.is_spoiler())
        else:
            index = int(self.choice.values[0]) if self.choice and self.choice.values else 0
            found = self._pictures[index]
        await self._submitted(interaction, draft, found)
