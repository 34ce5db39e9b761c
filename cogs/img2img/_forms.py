"""The forms: prompt, negative prompt, strength and what else fits into five fields."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, Self

import discord

from bot.client import RedrawBot
from bot.i18n.translate import translate
from cogs.requests.candidates import ImageCandidate
from cogs.requests.draft import MAX_SEED, Draft
from cogs.shared.forms import Form, TextInput, number_in

Interaction = discord.Interaction[RedrawBot]

# https://discord.com/developers/docs/components/reference#string-select
MAX_OPTIONS = 25


def _optional(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


class _RequestForm(Form):
    """A form for a request, with the labels of `img2img.form`."""

    def __init__(self, locale: str) -> None:
        super().__init__(translate(locale, "img2img.form.title"), locale)

    def labelled(self, name: str, default: str = "", **options: Any) -> TextInput:
        """Add a text field with the label of this name."""
        return self.field(translate(self.locale, f"img2img.form.{name}"), default, **options)

    def number(self, name: str, field: TextInput, low: float, high: float) -> float | None:
        """The number in a field; None if the field is empty.

        Raises:
            NotANumberBetween: it is not a number in this range.
        """
        if not field.value:
            return None
        return number_in(field.value, translate(self.locale, f"img2img.form.{name}"), low, high)


class RequestModal(_RequestForm):
    """The form of *Edit*, *Use this* and *Try it*, filled in with a draft's settings."""

    def __init__(
        self,
        draft: Draft,
        locale: str,
        *,
        submitted: Callable[[Interaction, Draft], Awaitable[None]],
    ) -> None:
        super().__init__(locale)
        self._draft = draft
        self._submitted = submitted
        self.prompt = self.labelled("prompt", draft.prompt, long=True, required=True)
        self.negative = self.labelled("negative", draft.negative_prompt, long=True)
        self.strength = self.labelled("strength", _optional(draft.strength), max_length=6)
        self.guidance = self.labelled("guidance", _optional(draft.guidance), max_length=6)
        seed = "" if draft.seed is None else str(draft.seed)
        self.seed = self.labelled("seed", seed, max_length=10)

    def copy(self) -> Self:
        """The form with the draft's settings."""
        return type(self)(self._draft, self.locale, submitted=self._submitted)

    async def on_submit(self, interaction: discord.Interaction[Any], /) -> None:
        """Read the fields and submit the request.

        Raises:
            NotANumberBetween: a field is not a number in its range.
        """
        seed = self.number("seed", self.seed, 0, MAX_SEED)
        draft = replace(
            self._draft,
            prompt=self.prompt.value,
            negative_prompt=self.negative.value,
            strength=self.number("strength", self.strength, 0.05, 1.0),
            guidance=self.number("guidance", self.guidance, 1.0, 20.0),
            seed=None if seed is None else int(seed),
        )
        await self._submitted(interaction, draft)


class PictureModal(_RequestForm):
    """The form of *Redraw this*: the prompt, and one of the message's pictures or an upload."""

    def __init__(
        self,
        candidates: Sequence[ImageCandidate],
        locale: str,
        *,
        submitted: Callable[[Interaction, Draft, ImageCandidate], Awaitable[None]],
        chosen: int = 0,
    ) -> None:
        super().__init__(locale)
        self._candidates = list(candidates)
        self._submitted = submitted
        self.prompt = self.labelled("prompt", long=True, required=True)
        self.negative = self.labelled("negative", long=True)
        self.strength = self.labelled("strength", max_length=6)
        self.choice: discord.ui.Select[discord.ui.Modal] | None = None
        if len(candidates) > 1:
            self.choice = discord.ui.Select(
                options=[
                    discord.SelectOption(
                        label=f"{number + 1}. {candidate.name}"[:100],
                        value=str(number),
                        default=number == chosen,
                    )
                    for number, candidate in enumerate(candidates[:MAX_OPTIONS])
                ]
            )
            text = translate(locale, "img2img.form.choice")
            self.add_item(discord.ui.Label(text=text, component=self.choice))
        self.upload = discord.ui.FileUpload[discord.ui.Modal](
            required=not candidates, min_values=0 if candidates else 1, max_values=1
        )
        text = translate(locale, "img2img.form.upload")
        self.add_item(discord.ui.Label(text=text, component=self.upload))

    def copy(self) -> Self:
        """The form with the same choice of pictures; an uploaded one is the first of them."""
        candidates, chosen = self._candidates, self._index
        if upload := self._uploaded:
            candidates, chosen = [upload, *candidates], 0
        return type(self)(candidates, self.locale, submitted=self._submitted, chosen=chosen)

    async def on_submit(self, interaction: discord.Interaction[Any], /) -> None:
        """Submit a request for the uploaded picture, or else the chosen one.

        Raises:
            NotANumberBetween: the strength is not a number in its range.
        """
        draft = Draft(
            prompt=self.prompt.value,
            negative_prompt=self.negative.value,
            strength=self.number("strength", self.strength, 0.05, 1.0),
        )
        candidate = self._uploaded or self._candidates[self._index]
        await self._submitted(interaction, draft, candidate)

    @property
    def _uploaded(self) -> ImageCandidate | None:
        if not self.upload.values:
            return None
        upload = self.upload.values[0]
        return ImageCandidate(upload.filename, upload, spoiler=upload.is_spoiler())

    @property
    def _index(self) -> int:
        return int(self.choice.values[0]) if self.choice and self.choice.values else 0
