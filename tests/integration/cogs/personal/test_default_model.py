"""The model of `/defaults`: it redraws where a request names no model."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from typing import Any

import discord
import pytest
import pytest_asyncio

from bot.i18n.translate import about_of
from bot.jobs.budgets import EVERYONE, RoleLimits
from bot.store.user_defaults import UserDefaults
from cogs.defaults._panel import draw_panel
from tests.support.several_models import CAT, MODELS, configured, redraw, said, service
from tests.support.simulated_discord import SimulatedDiscord, buttons_of, open_shared_discord
from tests.support.simulated_users import delete_data, newest_job, slash

pytestmark = pytest.mark.asyncio(loop_scope="module")
ModelsSetter = Callable[..., None]
MENU = "redraw:default:model"
# https://discord.com/developers/docs/components/reference#component-limits
COMPONENT_LIMIT = 40


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def opened(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SimulatedDiscord]:
    folder = tmp_path_factory.mktemp("default_model")
    async with open_shared_discord(folder, service(), model=MODELS[0], models=MODELS) as sim:
        yield sim


@pytest_asyncio.fixture(loop_scope="module")
async def sim(opened: SimulatedDiscord) -> SimulatedDiscord:
    """The opened Discord, in which Alice has no defaults or pictures."""
    await opened.bot.services.store.erase_user(opened.alice.id)
    return opened


@pytest.fixture
def models(sim: SimulatedDiscord) -> Iterator[ModelsSetter]:
    """Lets the bot have only the named models during the test."""
    with ExitStack() as stack:
        yield lambda *names: stack.enter_context(configured(sim, *names))


def menus(message: discord.Message) -> dict[str, discord.ui.Select[Any]]:
    """Custom id → the menu of the panel."""
    view = discord.ui.LayoutView.from_message(message)
    return {
        item.custom_id: item for item in view.walk_children() if isinstance(item, discord.ui.Select)
    }


async def choose(sim: SimulatedDiscord, name: str = "sdxl-turbo") -> discord.Message:
    """Open the panel and choose the model."""
    result = await slash(sim.alice, sim.channel, "defaults")
    await sim.alice.select(result.response.message, [name], custom_id=MENU)
    return result.response.message  # type: ignore[no-any-return]


def fields_of(shown: Any) -> list[dict[str, Any]]:
    return [label["component"] for label in shown.modal["components"]]


async def test_the_panel_offers_the_models_that_redraw(sim: SimulatedDiscord) -> None:
    menu = menus(await choose(sim))[MENU]
    offered = {option.value: (option.label, option.description) for option in menu.options}
    assert offered == {
        "-": ("Redraw with: the usual model (sd2-depth)", None),
        "sd2-depth": ("Redraw with: sd2-depth", about_of("en", "sd2-depth")),
        "sdxl-turbo": ("Redraw with: sdxl-turbo", about_of("en", "sdxl-turbo")),
    }
    assert [option.value for option in menu.options if option.default] == ["sdxl-turbo"]
    defaults = sim.bot.services.store.user_defaults
    assert await defaults.of(sim.alice.id) == UserDefaults(model="sdxl-turbo")
    view = draw_panel(sim.bot.services, UserDefaults(), "en-US")
    assert view.total_children_count <= COMPONENT_LIMIT
    translated = draw_panel(sim.bot.services, UserDefaults(), "de", fields=("model",))
    (german,) = (item for item in translated.walk_children() if isinstance(item, discord.ui.Select))
    assert "Zeichnet ein Bild neu und behält seine Formen." in {
        option.description for option in german.options
    }
    await choose(sim, "-")
    assert await defaults.of(sim.alice.id) == UserDefaults()


async def test_without_a_choice_no_model_is_offered(
    sim: SimulatedDiscord, models: ModelsSetter
) -> None:
    models("sd2-depth", "klein-4b")
    result = await slash(sim.alice, sim.channel, "defaults")
    offered = menus(result.response.message)
    assert MENU not in offered
    assert "redraw:default:strength" in offered


async def test_a_command_without_a_model_uses_it(sim: SimulatedDiscord) -> None:
    await choose(sim)
    job = await redraw(sim)
    assert (job.model, job.steps, job.guidance_scale) == ("sdxl-turbo", 4, 1.0)
    assert (await redraw(sim, model="sd2-depth")).model == "sd2-depth"


async def test_default_strength_and_steps_hold_for_it(sim: SimulatedDiscord) -> None:
    await choose(sim)
    defaults = sim.bot.services.store.user_defaults
    await defaults.change(sim.alice.id, strength=0.4, steps=10)
    job = await redraw(sim)
    assert (job.model, job.variants[0].strength, job.steps) == ("sdxl-turbo", 0.4, 10)


async def test_settings_that_it_lacks_are_refused_with_its_name(sim: SimulatedDiscord) -> None:
    await choose(sim)
    command = {"prompt": "a fox", "image": CAT}
    refused = await slash(sim.alice, sim.channel, "img2img", negative_prompt="rain", **command)
    assert "The model sdxl-turbo has no setting `negative_prompt`" in said(refused)
    refused = await slash(sim.alice, sim.channel, "img2img", structure=CAT, **command)
    assert "sdxl-turbo has no setting `structure`" in said(refused)


async def test_redraw_this_shows_its_settings_and_uses_it(sim: SimulatedDiscord) -> None:
    message = await sim.bob.send(sim.channel, "look", attachments=[CAT])
    shown = await sim.alice.context_menu(sim.channel, "Redraw this", message)
    of_the_first_model = len(fields_of(shown))
    await choose(sim)
    shown = await sim.alice.context_menu(sim.channel, "Redraw this", message)
    prompt, strength, _ = fields_of(shown)
    assert of_the_first_model == 5
    # The form keeps the model whose settings it has.
    await choose(sim, "sd2-depth")
    await sim.alice.submit_modal(
        shown, {prompt["custom_id"]: "an owl", strength["custom_id"]: "0.5"}
    )
    await sim.settled()
    job = await newest_job(sim, sim.alice)
    assert (job.prompt, job.model, job.steps) == ("an owl", "sdxl-turbo", 4)


@pytest.mark.parametrize("label", ["Try it with a sample", "Redraw my picture"])
async def test_the_forms_of_help_show_its_settings(sim: SimulatedDiscord, label: str) -> None:
    await choose(sim)
    shown = await slash(sim.alice, sim.channel, "help")
    message = shown.response.message
    form = await sim.alice.click(message, custom_id=buttons_of(message)[label])
    assert len(fields_of(form)) == 3


async def test_a_mention_uses_it(sim: SimulatedDiscord) -> None:
    await choose(sim)
    assert sim.bot.user is not None
    await sim.alice.send(sim.channel, f"{sim.bot.user.mention} an owl", attachments=[CAT])
    await sim.settled()
    job = await newest_job(sim, sim.alice)
    assert (job.prompt, job.model, job.steps) == ("an owl", "sdxl-turbo", 4)


async def test_other_tasks_do_not_use_it(sim: SimulatedDiscord) -> None:
    await choose(sim)
    await slash(sim.alice, sim.channel, "edit", instruction="make it blue", image=CAT)
    await sim.settled()
    assert (await newest_job(sim, sim.alice)).model == "klein-4b"


@pytest.mark.parametrize("button", ["Use this", "Vary subtle"])
@pytest.mark.parametrize("command", ["edit", "imagine"])
async def test_buttons_that_redraw_pictures_of_other_tasks_use_it(
    sim: SimulatedDiscord, command: str, button: str
) -> None:
    await choose(sim)
    options: dict[str, Any] = {"instruction": "blue", "image": CAT}
    if command == "imagine":
        options = {"prompt": "blue"}
    await slash(sim.alice, sim.channel, command, **options)
    await sim.settled()
    made = await newest_job(sim, sim.alice)
    shown = await sim.alice.click(sim.last, custom_id=buttons_of(sim.last)[button])
    if button == "Use this":
        menu = fields_of(shown)[-1]
        assert [each["value"] for each in menu["options"] if each.get("default")] == ["sdxl-turbo"]
        await sim.alice.submit_modal(shown, {fields_of(shown)[0]["custom_id"]: "an owl"})
    await sim.settled()
    job = await newest_job(sim, sim.alice)
    assert (job.parent_id, job.task, job.model) == (made.id, "img2img", "sdxl-turbo")
    assert job.steps == 4


async def test_a_removed_model_is_ignored(sim: SimulatedDiscord, models: ModelsSetter) -> None:
    await choose(sim)
    models("sd2-depth", "sd15-depth")
    assert (await redraw(sim)).model == "sd2-depth"
    result = await slash(sim.alice, sim.channel, "defaults")
    menu = menus(result.response.message)[MENU]
    assert [option.value for option in menu.options if option.default] == ["-"]


async def test_limits_by_role_hold_for_it(
    sim: SimulatedDiscord, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = {EVERYONE: RoleLimits(models=("sd2-depth",))}
    monkeypatch.setattr(sim.bot.services.settings, "role_limits", limits)
    command = {"prompt": "a fox", "image": CAT}
    await choose(sim)
    refused = await slash(sim.alice, sim.channel, "img2img", **command)
    assert said(refused) == "With your roles, the model sdxl-turbo may not be used here."
    assert (await redraw(sim, model="sd2-depth")).model == "sd2-depth"


async def test_it_is_exported_and_deleted(sim: SimulatedDiscord) -> None:
    await choose(sim)
    result = await slash(sim.alice, sim.channel, "privacy export")
    [archive] = [
        file for reply in [result.response, *result.followups] for file in reply.attachments
    ]
    with zipfile.ZipFile(io.BytesIO(await archive.read())) as files:
        exported = json.loads(files.read("settings.json"))
    assert exported["defaults"]["model"] == "sdxl-turbo"
    await delete_data(sim.alice, sim.channel)
    assert await sim.bot.services.store.user_defaults.of(sim.alice.id) == UserDefaults()
