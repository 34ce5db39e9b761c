"""The forms: prompt, negative prompt, strength and what else fits into five fields."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

import discord

from bot.client import RedrawBot
from bot.commands.command_tree import handle_error
from bot.i18n.translate import translate
from cogs.requests.candidates import ImageCandidate
from cogs.requests.request import MAX_SEED, Draft
from cogs.requests.sources import StoredSource
from cogs.shared.errors import NotANumberBetween

Interaction = discord.Interaction[RedrawBot]
TextInput = discord.ui.TextInput[discord.ui.Modal]

# After this time a form can no longer be sent. Discord does not tell the bot that a form was
# closed, so without a timeout it would stay in memory.
FORM_SECONDS = 30 * 60.0
# https://discord.com/developers/docs/components/reference#string-select
MAX_OPTIONS = 25


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
    """A modal with labelled fields in the user's language."""

    def __init__(self, locale: str) -> None:
        self.locale = locale
        super().__init__(title=translate(locale, "img2img.form.title"), timeout=FORM_SECONDS)

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
        component = TextInput(
            style=discord.TextStyle.paragraph if long else discord.TextStyle.short,
            default=default or None,
            required=required,
            max_length=max_length,
        )
        label = translate(self.locale, f"img2img.form.{name}")
        self.add_item(discord.ui.Label(text=label, component=component))
        return component

    async def on_error(  # type: ignore[override]
        self, interaction: discord.Interaction[Any], error: Exception, /
    ) -> None:
        """Reply with the error's sentence; see `bot.commands.command_tree`."""
        await handle_error(interaction, error)


class RequestModal(_Form):
    """The form of *Edit* and *Use this*, filled in with the job's settings."""

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
        """Read the fields and submit the request.

        Raises:
            NotANumberBetween: a field is not a number in its range.
        """
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
    """The form of *Redraw this*: the prompt, and one of the message's pictures or an upload."""

    def __init__(
        self,
        candidates: Sequence[ImageCandidate],
        locale: str,
        *,
        submitted: Callable[[Interaction, Draft, ImageCandidate], Awaitable[None]],
    ) -> None:
        super().__init__(locale)
        self._candidates = candidates
        self._submitted = submitted
        self.prompt = self.field("prompt", "", long=True, required=True)
        self.negative = self.field("negative", "", long=True)
        self.strength = self.field("strength", "", max_length=6)
        self.choice: discord.ui.Select[discord.ui.Modal] | None = None
        if len(candidates) > 1:
            self.choice = discord.ui.Select(
                options=[
                    discord.SelectOption(
                        label=f"{number}. {candidate.name}"[:100],
                        value=str(number - 1),
                        default=number == 1,
                    )
                    for number, candidate in enumerate(candidates[:MAX_OPTIONS], start=1)
                ]
            )
            text = translate(locale, "img2img.form.choice")
            self.add_item(discord.ui.Label(text=text, component=self.choice))
        self.upload = discord.ui.FileUpload[discord.ui.Modal](
            required=not candidates, min_values=0 if candidates else 1, max_values=1
        )
        text = translate(locale, "img2img.form.upload")
        self.add_item(discord.ui.Label(text=text, component=self.upload))

    async def on_submit(self, interaction: discord.Interaction[Any], /) -> None:
        """Submit a request for the uploaded picture, or else the chosen one.

        Raises:
            NotANumberBetween: the strength is not a number in its range.
        """
        draft = Draft(prompt=self.prompt.value, negative_prompt=self.negative.value)
        if self.strength.value:
            name = translate(self.locale, "img2img.form.strength")
            draft = replace(draft, strength=_number(self.strength.value, name, 0.05, 1.0))
        if self.upload.values:
            upload = self.upload.values[0]
            candidate = ImageCandidate(upload.filename, upload, spoiler=upload.is_spoiler())
        else:
            index = int(self.choice.values[0]) if self.choice and self.choice.values else 0
            candidate = self._candidates[index]
        await self._submitted(interaction, draft, candidate)
