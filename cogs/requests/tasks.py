"""Which tasks and settings the configured models have, and which of them commands publish."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, get_args

import discord
from discord import app_commands

from bot.client import Services
from bot.i18n.translate import translate
from bot.jobs.options import options_for
from bot.models import TaskNotOffered
from cogs.requests.draft import Draft
from cogs.shared.errors import OptionNotOffered
from inference import ModelEntry, Option, Task


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
    """What the bot can do with the configured models."""
    return services.models.tasks


def model_for(services: Services, task: Task) -> ModelEntry:
    """The model for a task.

    Raises:
        TaskNotOffered: no configured model has it.
    """
    return services.models.for_task(task)


def options_of_task(services: Services, task: Task) -> frozenset[Option]:
    """The settings that a request with this task has.

    Raises:
        TaskNotOffered: no configured model has the task.
    """
    return options_for(task, model_for(services, task).options)


def task_for_a_picture(services: Services) -> Task:
    """What a request with one picture and a text means: redraw it, else edit it.

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
        TaskNotOffered: no configured model has the draft's task.
        OptionNotOffered: the model does not have a setting.
    """
    options = options_of_task(services, draft.task)
    given: dict[Option, bool] = {
        "strength": draft.strength is not None,
        "guidance": draft.guidance is not None,
        "negative_prompt": bool(draft.negative_prompt),
    }
    for option, is_given in given.items():
        if is_given and option not in options:
            raise OptionNotOffered(
                option=OptionName(option), model=model_for(services, draft.task).name
            )


# The options of a command that need the setting `part`.
PART_OPTIONS = {"threshold", "mask", "structure", "show_part"}


class TaskCommand(app_commands.Command[Any, ..., None]):
    """A command for a task. It is published without the settings that the model does not have, and
    its option `steps` ends at the operator's limit. Subclasses set `task`."""

    task: ClassVar[Task]

    async def get_translated_payload(
        self, tree: app_commands.CommandTree[Any], translator: app_commands.Translator
    ) -> dict[str, Any]:
        """The command as it is published."""
        assert self.binding is not None
        services = self.binding.bot.services
        missing: set[str] = set(get_args(Option)) - options_of_task(services, self.task)
        if "part" in missing:
            missing |= PART_OPTIONS
        command = await super().get_translated_payload(tree, translator)
        command["options"] = [each for each in command["options"] if each["name"] not in missing]
        steps = next(option for option in command["options"] if option["name"] == "steps")
        steps["max_value"] = services.settings.max_steps
        return command
