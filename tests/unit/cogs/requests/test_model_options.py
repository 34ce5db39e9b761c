"""Each setting of each model of the catalogue: offered and used, or hidden and refused."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, get_args

import discord
import pytest
from discord import app_commands

from bot.i18n.translate import CommandTranslator
from bot.jobs.options import options_for
from bot.models import ConfiguredModels
from cogs.defaults._panel import _fields
from cogs.edit._cog import Edit
from cogs.imagine._cog import Imagine
from cogs.img2img._cog import Img2Img
from cogs.img2img._forms import PictureModal, RequestModal
from cogs.requests.draft import Draft
from cogs.requests.tasks import TaskCommand, check_options
from cogs.shared.errors import OptionNotOffered, OptionOfOtherModels, ThresholdWithoutPart
from inference import MODELS, ModelEntry, Option, Task

CASES = [(entry, task) for entry in MODELS.values() for task in entry.tasks]
COMMANDS: dict[Task, tuple[Any, TaskCommand]] = {
    "img2img": (Img2Img, Img2Img.img2img),
    "edit": (Edit, Edit.edit),
    "text2img": (Imagine, Imagine.imagine),
}
# The options of commands for a setting of the model.
PUBLISHED: dict[Option, tuple[str, ...]] = {
    "strength": ("strength",),
    "negative_prompt": ("negative_prompt",),
    "guidance": ("guidance",),
    "mask": ("mask",),
    "part": ("threshold",),
    "structure": ("structure",),
}
# A request with the setting.
GIVEN: dict[Option, dict[str, Any]] = {
    "strength": {"strength": 0.5},
    "negative_prompt": {"negative_prompt": "rain"},
    "guidance": {"guidance": 3.0},
    "mask": {"guides": frozenset({"mask"})},
    "part": {"part": "background"},
    "structure": {"guides": frozenset({"structure"})},
}


def case(value: object) -> str:
    return value.name if isinstance(value, ModelEntry) else str(value)


def services_of(*entries: ModelEntry) -> Any:
    return SimpleNamespace(models=ConfiguredModels(entries), settings=SimpleNamespace(max_steps=50))


async def published(
    task: Task, entry: ModelEntry, monkeypatch: pytest.MonkeyPatch
) -> dict[str, dict[str, Any]]:
    """The options of the task's command as they are published for a bot with this model."""
    _, command = COMMANDS[task]
    bot = SimpleNamespace(services=services_of(entry))
    monkeypatch.setattr(command, "binding", SimpleNamespace(bot=bot))
    tree = app_commands.CommandTree(discord.Client(intents=discord.Intents.none()))
    payload = await command.get_translated_payload(tree, CommandTranslator())
    return {option["name"]: option for option in payload["options"]}


@pytest.mark.parametrize(("entry", "task"), CASES, ids=case)
@pytest.mark.parametrize("option", get_args(Option))
def test_a_setting_that_a_model_does_not_have_is_refused_by_its_name(
    entry: ModelEntry, task: Task, option: Option
) -> None:
    draft = Draft(prompt="a fox", task=task, **GIVEN[option])
    if option in options_for(task, entry.options):
        check_options(services_of(entry), draft)
    else:
        with pytest.raises(OptionNotOffered, match=f"{entry.name} has no setting `{option}`"):
            check_options(services_of(entry), draft)


@pytest.mark.parametrize(("entry", "task"), CASES, ids=case)
async def test_a_command_has_the_settings_of_the_model(
    entry: ModelEntry, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = await published(task, entry, monkeypatch)
    available = options_for(task, entry.options)
    for option, names in PUBLISHED.items():
        for name in names:
            assert (name in options) is (option in available), name
    assert ("show_part" in options) is (task == "img2img" and bool(available & {"part", "mask"}))
    parts = {choice["value"] for choice in options.get("part", {}).get("choices", ())}
    assert ({"foreground", "background"} <= parts) is ("part" in available)
    assert ("transparent" in parts) is (task == "img2img" and "mask" in available)
    images = [name for name in options if name.startswith("image")]
    expected = {"img2img": 1, "edit": entry.max_references, "text2img": 0}
    assert len(images) == expected[task]
    assert ("size" in options) is (task == "text2img")
    assert options["steps"]["max_value"] == 50


@pytest.mark.parametrize(("entry", "task"), CASES, ids=case)
def test_a_form_has_the_settings_of_the_model(entry: ModelEntry, task: Task) -> None:
    available = options_for(task, entry.options)

    async def submitted(*_arguments: Any) -> None:
        raise AssertionError

    draft = Draft(prompt="a fox", task=task)
    forms: list[Any] = [RequestModal(draft, "en-US", available, submitted=submitted)]
    if task == "img2img":
        forms.append(PictureModal([], "en-US", available, submitted=submitted))
    for form in forms:
        assert (form.negative is not None) is ("negative_prompt" in available)
        assert (form.strength is not None) is ("strength" in available)
        assert (form.part is not None) is ("part" in available)
    # A part takes the place of the guidance, which is kept.
    shown = "guidance" in available and "part" not in available
    assert (forms[0].guidance is not None) is shown


@pytest.mark.parametrize("entry", MODELS.values(), ids=case)
def test_defaults_has_the_settings_that_requests_use(entry: ModelEntry) -> None:
    services = services_of(entry)
    services.styles = SimpleNamespace(matching=lambda _typed: ["watercolour"])
    defaults: Any = SimpleNamespace(
        model=None, strength=None, style=None, steps=None, private=False, notification="none"
    )
    fields = {name for name, _, _ in _fields(services, [], defaults, "en-US")}
    assert ("strength" in fields) is (
        "img2img" in entry.tasks and "strength" in options_for("img2img", entry.options)
    )
    assert ("steps" in fields) is ("img2img" in entry.tasks)
    assert ("style" in fields) is bool({"img2img", "text2img"} & set(entry.tasks))


@pytest.mark.parametrize(
    ("changes", "name"), [({"part_threshold": 0.4}, "threshold"), ({"layout": "part"}, "show_part")]
)
def test_settings_that_belong_to_a_part_are_refused_without_one(
    changes: dict[str, Any], name: str
) -> None:
    entry = ModelEntry(name="free", source="", licence="")
    with pytest.raises(OptionNotOffered, match=f"free has no setting `{name}`"):
        check_options(services_of(entry), Draft(prompt="a fox", **changes))


def test_a_threshold_without_a_part_is_refused() -> None:
    with pytest.raises(ThresholdWithoutPart):
        check_options(services_of(MODELS["noise"]), Draft(prompt="a fox", part_threshold=0.4))


def test_the_models_that_have_a_setting_are_named() -> None:
    services = services_of(MODELS["sdxl-turbo"], MODELS["sd2-depth"], MODELS["klein-4b"])
    draft = Draft(prompt="a fox", model="sdxl-turbo", part="background")
    with pytest.raises(OptionOfOtherModels, match="another model: sd2-depth"):
        check_options(services, draft)
