"""Fills a new request's settings from its user's defaults."""

from __future__ import annotations

from dataclasses import replace

import discord
from discord import app_commands

from bot.client import RedrawBot, Services
from bot.i18n.translate import translate
from bot.store.user_defaults import UserDefaults
from cogs.requests.draft import MAX_STEPS, Draft
from cogs.requests.tasks import model_for, options_of_task
from cogs.requests.terms import terms_for
from inference import ModelEntry, Task

# The choice of no style although `/defaults` names one.
NO_STYLE = "none"
# https://discord.com/developers/docs/interactions/application-commands#autocomplete
MAX_CHOICES = 25


async def with_defaults(
    services: Services, user: discord.User | discord.Member, guild_id: int | None, draft: Draft
) -> Draft:
    """The draft with the user's defaults where it has no value, and then with the server's style.
    Default steps and private mode are reduced to what the user's roles allow here.

    For requests that a user writes; those made from a job have that job's settings. A default
    style or model that the operator has removed since then is left out.

    Raises:
        ModelNotOffered, ModelLacksTask: the draft's model is not configured, or lacks the task.
        TaskNotOffered: no configured model has the task.
    """
    defaults = await services.store.user_defaults.of(user.id)
    draft = replace(draft, model=draft.model or _model_of(services, defaults, draft.task).name)
    terms = await terms_for(services, user, guild_id)
    known = set(services.styles.matching(""))
    # A style would be taken for a part of the instruction.
    usual = (defaults.style, terms.options.style) if draft.task != "edit" else ()
    style = draft.style or next((name for name in usual if name in known), None)
    limit = min(services.settings.max_steps, terms.limits.steps or MAX_STEPS)
    steps, strength = draft.steps, draft.strength
    if strength is None and "strength" in options_of_task(services, draft.task, draft.model):
        strength = defaults.strength
    # The steps that suit a model that redraws do not suit the others.
    if steps is None and defaults.steps is not None and draft.task == "img2img":
        steps = min(defaults.steps, limit)
    private = draft.private
    if private is None:
        private = defaults.private and terms.limits.private is not False
    return replace(
        draft,
        strength=strength,
        steps=steps,
        style=None if style == NO_STYLE else style,
        private=private,
    )


async def default_model(services: Services, user_id: int, task: Task) -> ModelEntry:
    """The model of a user's request that names none: the user's default for redrawing, if it is
    configured; else the first model that has the task.

    Raises:
        TaskNotOffered: no configured model has the task.
    """
    return _model_of(services, await services.store.user_defaults.of(user_id), task)


async def with_usable_model(services: Services, user_id: int, draft: Draft) -> Draft:
    """The draft of a button; if its model was removed or does not have its task, with the user's
    model for the task and that model's settings.

    Raises:
        TaskNotOffered: no configured model has the task.
    """
    if draft.model is None:
        return draft
    entry = services.models.find(draft.model)
    if entry is not None and draft.task in entry.tasks:
        return draft
    model = await default_model(services, user_id, draft.task)
    return replace(draft, model=model.name, steps=None, guidance=None, strength=None)


def _model_of(services: Services, defaults: UserDefaults, task: Task) -> ModelEntry:
    models = services.models.with_task(task) if task == "img2img" else []
    chosen = (model for model in models if model.name == defaults.model)
    return next(chosen, None) or model_for(services, task)


async def style_choices(
    interaction: discord.Interaction[RedrawBot], typed: str
) -> list[app_commands.Choice[str]]:
    """The styles whose names contain the typed text; and "no style" if there is a default one."""
    services = interaction.client.services
    names = list(services.styles.matching(typed))[: MAX_CHOICES - 1]
    choices = [app_commands.Choice(name=name, value=name) for name in names]
    none = translate(interaction.locale, "defaults.no_style")
    defaults = await services.store.user_defaults.of(interaction.user.id)
    options = await services.store.guild_settings.options(interaction.guild_id)
    if (defaults.style or options.style) is not None and typed.lower() in none.lower():
        choices.append(app_commands.Choice(name=none, value=NO_STYLE))
    return choices
