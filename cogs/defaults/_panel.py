"""The panel of `/defaults`: one select menu for each default. A choice is stored at once."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import discord

from bot.client import Services
from bot.i18n.translate import about_of, translate
from bot.store.user_defaults import Notification, UserDefaults
from cogs.requests.tasks import has_strength, has_styles
from cogs.shared.guard import PersistentItem, SentComponent
from inference import ModelEntry

# https://discord.com/developers/docs/components/reference#string-select
MAX_OPTIONS = 25
LABEL_CHARACTERS = 100
STRENGTHS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
STEPS = (10, 15, 20, 25, 30, 40, 50, 75, 100, 150)
FIELDS = ("model", "strength", "style", "steps", "private", "notification")
# The value of the option that stands for no default.
NONE = "-"


class _Menu(SentComponent, discord.ui.Select[discord.ui.LayoutView]):
    pass


class DefaultMenu(PersistentItem, template=rf"redraw:default:(?P<field>{'|'.join(FIELDS)})"):
    """Stores the choice in one of the menus."""

    async def act(self, interaction: discord.Interaction[Any]) -> None:
        """Store the choice and show it."""
        services = interaction.client.services
        field = self.match["field"]
        defaults = await services.store.user_defaults.change(
            interaction.user.id, **{field: _value(field, self.chosen[0])}
        )
        view = draw_panel(
            services, defaults, str(interaction.locale), fields=_shown(interaction.message)
        )
        await interaction.response.edit_message(view=view)


def draw_panel(
    services: Services, defaults: UserDefaults, locale: str, *, fields: Collection[str] = FIELDS
) -> discord.ui.LayoutView:
    """The panel with the user's defaults selected: all menus, or those of some fields."""
    view = discord.ui.LayoutView(timeout=None)
    view.add_item(discord.ui.TextDisplay(translate(locale, "defaults.title")))
    models = _offered_models(services)
    about = {model.name: about_of(locale, model.name)[:LABEL_CHARACTERS] for model in models}
    for field, current, options in _fields(services, models, defaults, locale):
        if field not in fields:
            continue
        menu = _Menu(
            custom_id=f"redraw:default:{field}",
            options=[
                discord.SelectOption(
                    label=translate(locale, f"defaults.{field}", value=text)[:LABEL_CHARACTERS],
                    value=value,
                    description=(about.get(value) or None) if field == "model" else None,
                    default=value == current,
                )
                for value, text in options.items()
            ],
        )
        view.add_item(discord.ui.ActionRow[discord.ui.LayoutView](menu))
    return view


def _shown(message: discord.Message | None) -> set[str]:
    """The fields whose menus the panel's message has."""
    assert message is not None
    view = discord.ui.LayoutView.from_message(message, timeout=None)
    view.stop()
    menus = [item for item in view.walk_children() if isinstance(item, discord.ui.Select)]
    return {menu.custom_id.rsplit(":", 1)[-1] for menu in menus}


def _offered_models(services: Services) -> list[ModelEntry]:
    """The models that a user can choose for redrawing; none if there is no choice."""
    models = services.models.with_task("img2img")
    return models[: MAX_OPTIONS - 1] if len(models) > 1 else []


def _fields(
    services: Services, models: Sequence[ModelEntry], defaults: UserDefaults, locale: str
) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Of each field that has an effect on a request to the configured models: its name, the value
    of the selected option, and value → text."""
    if models:
        offered = {model.name: model.name for model in models}
        first = translate(locale, "defaults.first_model", model=models[0].name)
        model = defaults.model if defaults.model in offered else None
        yield "model", model or NONE, {NONE: first} | offered
    none = {NONE: translate(locale, "defaults.none")}
    if has_strength(services):
        strength = NONE if defaults.strength is None else f"{defaults.strength:g}"
        yield "strength", strength, none | {f"{each:g}": f"{each:g}" for each in STRENGTHS}
    if has_styles(services):
        names = list(services.styles.matching(""))[: MAX_OPTIONS - 1]
        style = defaults.style if defaults.style in names else NONE
        none_style = {NONE: translate(locale, "defaults.no_style")}
        yield "style", style or NONE, none_style | {name: name for name in names}
    if "img2img" in services.models.tasks:
        limit = services.settings.max_steps
        steps = sorted({limit, *(each for each in STEPS if each < limit)})
        chosen = NONE if defaults.steps is None else str(min(defaults.steps, limit))
        yield "steps", chosen, none | {str(each): str(each) for each in steps}
    yes, no = translate(locale, "defaults.yes"), translate(locale, "defaults.no")
    yield "private", str(int(defaults.private)), {"0": no, "1": yes}
    yield (
        "notification",
        defaults.notification,
        {kind: translate(locale, f"defaults.notification.{kind}") for kind in Notification},
    )


def _value(field: str, chosen: str) -> object:
    """The value of an option, as it is stored."""
    if field == "notification":
        return Notification(chosen)
    if field == "private":
        return bool(int(chosen))
    if chosen == NONE:
        return None
    kinds = {"model": str, "strength": float, "steps": int, "style": str}
    return kinds[field](chosen)
