"""Which tasks and settings the configured models have, and which of them commands publish."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, get_args

import discord
from discord import app_commands

from bot.client import RedrawBot, Services
from bot.i18n.durations import duration
from bot.i18n.translate import translate
from bot.jobs.options import options_for
from bot.models import TaskNotOffered
from cogs.requests.draft import Draft
from cogs.shared.errors import OptionNotOffered
from inference import ModelEntry, Option, Task

# https://discord.com/developers/docs/interactions/application-commands#autocomplete
MAX_CHOICES = 25
CHOICE_CHARACTERS = 100


@dataclass(frozen=True, slots=True)
class OptionName:
    """The name of a setting, as the commands' options show it."""

    option: Option

    def localized(self, locale: str | discord.Locale) -> str:
        """The name in that language."""
        return translate(locale, f"img2img.name.{self.option}")

    def __str__(self) -> str:
        return self.localized("en-US")


def offered_tasks(services: Services) -> frozenset[Task]:
    """The tasks of the configured models."""
    return services.models.tasks


def model_for(services: Services, task: Task, name: str | None = None) -> ModelEntry:
    """The model of that name for a task; without a name, the first one that has the task.

    Raises:
        ModelNotOffered, ModelLacksTask: the named model is not configured, or does not have it.
        TaskNotOffered: no configured model has it.
    """
    return services.models.for_task(task, name)


def options_of_task(services: Services, task: Task, name: str | None = None) -> frozenset[Option]:
    """The settings that a request with this task and model has; see `model_for`."""
    return options_for(task, model_for(services, task, name).options)


def task_for_a_picture(services: Services) -> Task:
    """The task of a request with one picture and a text: redrawing, else editing.

    Raises:
        TaskNotOffered: the models draw from text only.
    """
    offered = offered_tasks(services)
    if offered.isdisjoint(("img2img", "edit")):
        raise TaskNotOffered
    return "img2img" if "img2img" in offered else "edit"


def check_options(services: Services, draft: Draft) -> None:
    """Check that the model has every setting that the request gives.

    Raises:
        ModelNotOffered, ModelLacksTask, TaskNotOffered: the model does not have the draft's task.
        OptionNotOffered: the model does not have a setting.
    """
    model = model_for(services, draft.task, draft.model)
    options = options_for(draft.task, model.options)
    given: dict[Option, bool] = {
        "strength": draft.strength is not None,
        "guidance": draft.guidance is not None,
        "negative_prompt": bool(draft.negative_prompt),
    }
    for option, is_given in given.items():
        if is_given and option not in options:
            raise OptionNotOffered(option=OptionName(option), model=model.name)


# The options of a command that need the setting `part`.
PART_OPTIONS = {"threshold", "mask", "structure", "show_part"}


class TaskCommand(app_commands.Command[Any, ..., None]):
    """A command for a task. It is published without the settings that no model has, without
    `model` if there is no choice, and its option `steps` ends at the operator's limit. Subclasses
    set `task`."""

    task: ClassVar[Task]

    async def get_translated_payload(
        self, tree: app_commands.CommandTree[Any], translator: app_commands.Translator
    ) -> dict[str, Any]:
        """The command as it is published."""
        assert self.binding is not None
        services = self.binding.bot.services
        models = services.models.with_task(self.task)
        missing: set[str] = set(get_args(Option)).difference(
            *(options_for(self.task, model.options) for model in models)
        )
        if len(models) == 1:
            missing.add("model")
        if "part" in missing:
            missing |= PART_OPTIONS
        command = await super().get_translated_payload(tree, translator)
        command["options"] = [each for each in command["options"] if each["name"] not in missing]
        steps = next(option for option in command["options"] if option["name"] == "steps")
        steps["max_value"] = services.settings.max_steps
        return command


def model_choices(
    interaction: discord.Interaction[RedrawBot], typed: str, task: Task
) -> list[app_commands.Choice[str]]:
    """The models for a task whose names contain the typed text: name, the measured time of a
    picture if there is one, and the purpose."""
    services = interaction.client.services
    names = {
        model.name: _model_line(services, model, str(interaction.locale))
        for model in services.models.with_task(task)
        if typed.lower() in model.name.lower()
    }
    choices = [
        app_commands.Choice(name=text[:CHOICE_CHARACTERS], value=name)
        for name, text in names.items()
    ]
    return choices[:MAX_CHOICES]


def _model_line(services: Services, model: ModelEntry, locale: str) -> str:
    seconds = services.runner.accounting.picture_seconds(model)
    speed = ""
    if seconds is not None:
        speed = translate(locale, "models.speed", duration=duration(locale, seconds))
    return " · ".join(part for part in (model.name, speed, model.about) if part)
