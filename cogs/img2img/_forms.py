"""The forms: prompt, negative prompt, strength and what else fits into five fields."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, Self

import discord

from bot.client import RedrawBot
from bot.i18n.translate import about_of, translate
from cogs.requests.draft import MAX_SEED, Draft
from cogs.requests.parts import PARTS, part_named
from cogs.requests.pictures.candidates import ImageCandidate
from cogs.shared.forms import Form, TextInput, number_in
from inference import ModelEntry, Option, Part, Task

Interaction = discord.Interaction[RedrawBot]

PartSelect = discord.ui.Select[discord.ui.Modal]

# https://discord.com/developers/docs/interactions/receiving-and-responding
MAX_FIELDS = 5
# https://discord.com/developers/docs/components/reference#string-select
MAX_OPTIONS = 25
LABEL_CHARACTERS = 100


TITLES: dict[Task, str] = {
    "img2img": "img2img.form.title",
    "edit": "edit.form.title",
    "text2img": "imagine.form.title",
}


def _optional(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


class _RequestForm(Form):
    """A form for a request, with the labels of `img2img.form`."""

    def __init__(self, locale: str, task: Task) -> None:
        super().__init__(translate(locale, TITLES[task]), locale)

    def labelled(self, name: str, default: str = "", **options: Any) -> TextInput:
        """Add a text field with the label of this name."""
        return self.field(translate(self.locale, f"img2img.form.{name}"), default, **options)

    def number(self, name: str, field: TextInput | None, low: float, high: float) -> float | None:
        """The number in a field; None if the field is empty, or if there is none.

        Raises:
            NotANumberBetween: it is not a number in this range.
        """
        if field is None or not field.value:
            return None
        label = translate(self.locale, f"img2img.name.{name}").capitalize()
        return number_in(field.value, label, low, high)

    def part_field(self, chosen: Part) -> PartSelect:
        """Add the choice of the part that is redrawn."""
        select = PartSelect(
            required=False,
            options=[
                discord.SelectOption(
                    label=translate(self.locale, f"img2img.part.{part}"),
                    value=part,
                    default=part == chosen,
                )
                for part in PARTS
            ],
        )
        text = translate(self.locale, "img2img.form.part")
        self.add_item(discord.ui.Label(text=text, component=select))
        return select


def chosen_part(select: PartSelect | None, otherwise: Part) -> Part:
    """The part that was chosen in a form."""
    return part_named(select.values[0]) if select is not None and select.values else otherwise


class RequestModal(_RequestForm):
    """The form of *Edit*, *Use this* and *Try it*, filled in with a draft's settings.

    `options` are the settings that the model has; `note` is a text above the fields. `has_part` is
    whether the draft had a part when the form was opened first.
    """

    def __init__(
        self,
        draft: Draft,
        locale: str,
        options: frozenset[Option],
        *,
        submitted: Callable[[Interaction, Draft], Awaitable[None]],
        models: Sequence[ModelEntry] = (),
        chosen: str | None = None,
        has_part: bool | None = None,
        note: str = "",
    ) -> None:
        super().__init__(locale, draft.task)
        self._draft, self._options, self._submitted = draft, options, submitted
        self._models, self._note = models, note
        if note:
            self.add_item(discord.ui.TextDisplay(note))
        self.prompt = self.labelled("prompt", draft.prompt, long=True, required=True)
        self.negative: TextInput | None = None
        self.strength: TextInput | None = None
        # A setting without a field is kept as it is. The part that the draft has comes first, then
        # the seed, then another part or the guidance.
        self.guidance: TextInput | None = None
        self.part: PartSelect | None = None
        if "negative_prompt" in options:
            self.negative = self.labelled("negative", draft.negative_prompt, long=True)
        if "strength" in options:
            self.strength = self.labelled("strength", _optional(draft.strength), max_length=6)
        fields = [self.prompt, self.negative, self.strength, note or None]
        left = MAX_FIELDS - sum(field is not None for field in fields) - (len(models) > 1)
        self._has_part = draft.part != "everything" if has_part is None else has_part
        if left and (self._has_part or ("part" in options and left > 1)):
            self.part = self.part_field(draft.part)
            left -= 1
        elif "guidance" in options and left > 1:
            self.guidance = self.labelled("guidance", _optional(draft.guidance), max_length=6)
            left -= 1
        self.seed: TextInput | None = None
        if left:
            seed = "" if draft.seed is None else str(draft.seed)
            self.seed = self.labelled("seed", seed, max_length=10)
        self.model = self._model_menu(chosen or self._own_model) if len(models) > 1 else None

    @property
    def _own_model(self) -> str:
        """The model of the draft, also where it names none."""
        return self._draft.model or (self._models[0].name if self._models else "")

    def _model_menu(self, chosen: str) -> discord.ui.Select[discord.ui.Modal]:
        menu = discord.ui.Select[discord.ui.Modal](
            required=False,
            options=[
                discord.SelectOption(
                    label=model.name[:LABEL_CHARACTERS],
                    value=model.name,
                    description=about_of(self.locale, model.name)[:LABEL_CHARACTERS] or None,
                    default=model.name == chosen,
                )
                for model in self._models[:MAX_OPTIONS]
            ],
        )
        label = translate(self.locale, "img2img.form.model")
        self.add_item(discord.ui.Label(text=label, component=menu))
        return menu

    def copy(self) -> Self:
        """The form with the draft's settings."""
        return type(self)(
            replace(self._draft, part=chosen_part(self.part, self._draft.part)),
            self.locale,
            self._options,
            submitted=self._submitted,
            models=self._models,
            chosen=self.model.values[0] if self.model and self.model.values else None,
            has_part=self._has_part,
            note=self._note,
        )

    async def on_submit(self, interaction: discord.Interaction[Any], /) -> None:
        """Read the fields and submit the request.

        Raises:
            NotANumberBetween: a field is not a number in its range.
        """
        seed: float | None = self._draft.seed
        if self.seed is not None:
            seed = self.number("seed", self.seed, 0, MAX_SEED)
        part = chosen_part(self.part, self._draft.part)
        draft = replace(
            self._draft,
            prompt=self.prompt.value,
            negative_prompt=self.negative.value if self.negative else "",
            strength=self.number("strength", self.strength, 0.05, 1.0),
            guidance=(
                self.number("guidance", self.guidance, 1.0, 20.0)
                if self.guidance
                else self._draft.guidance
            ),
            seed=None if seed is None else int(seed),
            part=part,
            part_threshold=None if part == "everything" else self._draft.part_threshold,
        )
        if self.model and self.model.values and self.model.values[0] != self._own_model:
            draft = self._for_model(draft, self.model.values[0])
        await self._submitted(interaction, draft)

    def _for_model(self, draft: Draft, name: str) -> Draft:
        """The draft for another model, with that model's defaults for what was not changed."""
        same_strength = draft.strength == self._draft.strength
        same_guidance = draft.guidance == self._draft.guidance
        return replace(
            draft,
            model=name,
            steps=None,
            strength=None if same_strength else draft.strength,
            guidance=None if same_guidance else draft.guidance,
        )


class PictureModal(_RequestForm):
    """The form of *Redraw this*: the prompt, and one of the message's pictures or an upload.

    `options` are the settings that the model has, `part` is the chosen part.
    """

    def __init__(
        self,
        candidates: Sequence[ImageCandidate],
        locale: str,
        options: frozenset[Option],
        *,
        submitted: Callable[[Interaction, Draft, ImageCandidate], Awaitable[None]],
        chosen: int = 0,
        part: Part = "everything",
    ) -> None:
        super().__init__(locale, "img2img")
        self._options = options
        self._candidates = list(candidates)
        self._part = part
        self._submitted = submitted
        self.prompt = self.labelled("prompt", long=True, required=True)
        self.negative = self.strength = None
        if "negative_prompt" in options:
            self.negative = self.labelled("negative", long=True)
        if "strength" in options:
            self.strength = self.labelled("strength", max_length=6)
        self.choice: discord.ui.Select[discord.ui.Modal] | None = None
        if len(candidates) > 1:
            self.choice = discord.ui.Select(
                options=[
                    discord.SelectOption(
                        label=f"{number + 1}. {candidate.shown_name}"[:100],
                        value=str(number),
                        default=number == chosen,
                    )
                    for number, candidate in enumerate(candidates[:MAX_OPTIONS])
                ]
            )
            text = translate(locale, "img2img.form.choice")
            self.add_item(discord.ui.Label(text=text, component=self.choice))
        # A form has five fields: with several pictures there is no room for the part.
        offered = "part" in options and self.choice is None
        self.part = self.part_field(part) if offered else None
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
        return type(self)(
            candidates,
            self.locale,
            self._options,
            submitted=self._submitted,
            chosen=chosen,
            part=chosen_part(self.part, self._part),
        )

    async def on_submit(self, interaction: discord.Interaction[Any], /) -> None:
        """Submit a request for the uploaded picture, or else the chosen one.

        Raises:
            NotANumberBetween: the strength is not a number in its range.
        """
        draft = Draft(
            prompt=self.prompt.value,
            negative_prompt=self.negative.value if self.negative else "",
            strength=self.number("strength", self.strength, 0.05, 1.0),
            part=chosen_part(self.part, "everything"),
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
