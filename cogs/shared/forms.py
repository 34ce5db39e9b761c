"""Forms that can be opened again with the typed text, after a mistake."""

from __future__ import annotations

from typing import Any, Self

import discord

from bot.commands.command_tree import handle_error
from bot.i18n.translate import translate
from cogs.shared.errors import NotANumberBetween
from cogs.shared.guard import run_guarded

TextInput = discord.ui.TextInput[discord.ui.Modal]

# After this time a form can no longer be sent. Discord does not tell the bot that a form was
# closed, so without a timeout it would stay in memory.
FORM_SECONDS = 30 * 60.0


class Form(discord.ui.Modal):
    """A modal with labelled fields in the user's language.

    An error of `on_submit` becomes a reply with a button that opens the form again, filled in.
    """

    def __init__(self, title: str, locale: str) -> None:
        self.locale = locale
        self._inputs: list[TextInput] = []
        super().__init__(title=title, timeout=FORM_SECONDS)

    def field(
        self,
        label: str,
        default: str = "",
        *,
        custom_id: str = discord.utils.MISSING,
        long: bool = False,
        required: bool = False,
        max_length: int = 1000,
    ) -> TextInput:
        """Add a labelled text field."""
        component = TextInput(
            custom_id=custom_id,
            style=discord.TextStyle.paragraph if long else discord.TextStyle.short,
            default=default or None,
            required=required,
            max_length=max_length,
        )
        self._inputs.append(component)
        self.add_item(discord.ui.Label(text=label, component=component))
        return component

    def copy(self) -> Self:
        """A new form with the same fields; Discord accepts each form once."""
        raise NotImplementedError

    def filled_in(self) -> Self:
        """A new form with the texts that were typed in this one."""
        form = self.copy()
        for new, old in zip(form._inputs, self._inputs, strict=True):
            new.default = old.value or None
        return form

    async def on_error(  # type: ignore[override]
        self, interaction: discord.Interaction[Any], error: Exception, /
    ) -> None:
        """Reply with the error's sentence and the button."""
        await handle_error(interaction, error, ReopenButton(self))


class ReopenButton(discord.ui.Button[Any]):
    """Opens a form again with the typed text."""

    def __init__(self, form: Form) -> None:
        super().__init__(
            label=translate(form.locale, "form.again"), style=discord.ButtonStyle.primary
        )
        self._form = form

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        """Open the form."""

        async def open_form(interaction: discord.Interaction[Any]) -> None:
            await interaction.response.send_modal(self._form.filled_in())

        await run_guarded(interaction, open_form)


def number_in(text: str, label: str, low: float, high: float) -> float:
    """The number in a field, with a point or a comma.

    Raises:
        NotANumberBetween: it is not a number in this range.
    """
    try:
        value = float(text.strip().replace(",", "."))
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        raise NotANumberBetween(field=label, low=low, high=high)
    return value
