"""Which tasks and settings the configured models have, and which of them commands publish."""

from __future__ import annotations

from typing import Any, ClassVar, get_args

import discord
from discord import app_commands

from bot.client import RedrawBot, Services
from bot.errors import RequestError
from bot.i18n.durations import duration
from bot.i18n.lists import Listed
from bot.i18n.names import Name
from bot.i18n.translate import about_of, translate
from bot.jobs.options import options_for
from bot.models import TaskNotOffered
from cogs.requests.draft import Draft
from cogs.requests.parts import TRANSPARENT
from cogs.shared.errors import OptionNotOffered, OptionOfOtherModels, ThresholdWithoutPart
from inference import ModelEntry, Option, Task

# https://discord.com/developers/docs/interactions/application-commands#autocomplete
MAX_CHOICES = 25
CHOICE_CHARACTERS = 100


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


def has_strength(services: Services) -> bool:
    """Whether a configured model has a strength."""
    return any("strength" in model.options for model in services.models.with_task("img2img"))


def has_styles(services: Services) -> bool:
    """Whether a configured model has a task to which styles are added: not to an instruction."""
    return bool(offered_tasks(services) & {"img2img", "text2img"})


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
        OptionNotOffered, OptionOfOtherModels: the model does not have a setting.
        ThresholdWithoutPart: a threshold without the part that it divides.
    """
    model = model_for(services, draft.task, draft.model)
    for name, needed in settings_it_lacks(model, draft).items():
        raise _not_offered(services, draft.task, model, name, needed)
    if draft.part_threshold is not None and draft.part == "everything":
        raise ThresholdWithoutPart(
            threshold=Name("img2img.name.threshold"), part=Name("img2img.name.part")
        )


def settings_it_lacks(model: ModelEntry, draft: Draft) -> dict[str, set[Option]]:
    """The settings that the request gives and the model does not have: their names in commands →
    the settings of a model of which one is needed."""
    options = options_for(draft.task, model.options)
    # The name of each setting, whether it is given, and the settings of a model that include it.
    part = draft.part != "everything"
    given: list[tuple[str, bool, set[Option]]] = [
        ("structure", "structure" in draft.guides, {"structure"}),
        ("mask", "mask" in draft.guides, {"mask"}),
        ("part", part, {"part"}),
        ("threshold", draft.part_threshold is not None, {"part"}),
        ("show_part", draft.layout == "part", {"part", "mask"}),
        ("strength", draft.strength is not None, {"strength"}),
        ("guidance", draft.guidance is not None, {"guidance"}),
        ("negative_prompt", bool(draft.negative_prompt), {"negative_prompt"}),
    ]
    return {
        name: needed for name, is_given, needed in given if is_given and needed.isdisjoint(options)
    }


def _not_offered(
    services: Services, task: Task, model: ModelEntry, name: str, needed: set[Option]
) -> RequestError:
    """The error about a setting that the model does not have; it names the models that have it."""
    option = Name(f"img2img.name.{name}")
    others = [
        each.name
        for each in services.models.with_task(task)
        if not needed.isdisjoint(options_for(task, each.options))
    ]
    if not others:
        return OptionNotOffered(option=option, model=model.name)
    return OptionOfOtherModels(option=option, model=model.name, models=Listed(tuple(others)))


# The choices of the option `part`, and the setting that each needs.
PART_NEEDS: dict[str, Option] = {
    "foreground": "part",
    "background": "part",
    TRANSPARENT: "mask",
}


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
        command = await super().get_translated_payload(tree, translator)
        # The transparent region of a picture is a mask, and one of the choices of `part`.
        no_choice = missing >= {"part", "mask"}
        hidden = {
            *(missing - {"part"}),
            *({"threshold"} if "part" in missing else ()),
            *({"part", "show_part"} if no_choice else ()),
            *({"model"} if len(models) == 1 else ()),
        }
        command["options"] = [each for each in command["options"] if each["name"] not in hidden]
        options = {option["name"]: option for option in command["options"]}
        options["steps"]["max_value"] = services.settings.max_steps
        if "part" in options:
            lacking = {name for name, needed in PART_NEEDS.items() if needed in missing}
            choices = options["part"]["choices"]
            options["part"]["choices"] = [each for each in choices if each["value"] not in lacking]
        return command


def model_choices(
    interaction: discord.Interaction[RedrawBot], typed: str, task: Task
) -> list[app_commands.Choice[str]]:
    """The models for a task whose names contain the typed text: name, the measured time of a
    picture if there is one, and the purpose."""
    services = interaction.client.services
    names = {
        model.name: _model_line(services, model, task, str(interaction.locale))
        for model in services.models.with_task(task)
        if typed.lower() in model.name.lower()
    }
    choices = [
        app_commands.Choice(name=text[:CHOICE_CHARACTERS], value=name)
        for name, text in names.items()
    ]
    return choices[:MAX_CHOICES]


def _model_line(services: Services, model: ModelEntry, task: Task, locale: str) -> str:
    seconds = services.runner.accounting.picture_seconds(model, task)
    speed = ""
    if seconds is not None:
        speed = translate(locale, "models.speed", duration=duration(locale, seconds))
    about = about_of(locale, model.name)
    return " · ".join(part for part in (model.name, speed, about) if part)
