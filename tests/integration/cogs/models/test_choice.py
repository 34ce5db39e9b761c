"""The option `model`, and the buttons of pictures of several models."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from bot.i18n.translate import translate
from bot.jobs.job import Job
from tests.support.services import ScriptedService
from tests.support.several_models import CAT, MODELS, press, redraw, said, service
from tests.support.simulated_discord import SimulatedDiscord, open_simulated_discord, text_of

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sim(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SimulatedDiscord]:
    async with open_simulated_discord(
        tmp_path_factory.mktemp("models"),
        service(),
        model=MODELS[0],
        models=MODELS,
        queue_limit_per_user=50,
    ) as opened:
        yield opened


async def test_a_request_goes_to_the_chosen_model_with_its_defaults(sim: SimulatedDiscord) -> None:
    job = await redraw(sim, model="sdxl-turbo")
    assert (job.model, job.steps, job.guidance_scale) == ("sdxl-turbo", 4, 1.0)
    engine = sim.bot.services.inference
    assert isinstance(engine, ScriptedService)
    assert engine.requests[-1].model == "sdxl-turbo"
    assert "-# sdxl-turbo · strength" in text_of(sim.last)


async def test_without_a_model_the_first_one_is_used(sim: SimulatedDiscord) -> None:
    job = await redraw(sim)
    assert job.model == "sd2-depth"
    assert "-# sd2-depth · strength" in text_of(sim.last)
    assert "commercially" not in text_of(sim.last)


async def test_a_licence_that_binds_the_user_is_shown(sim: SimulatedDiscord) -> None:
    await redraw(sim, model="sdxl-turbo")
    assert "sdxl-turbo and this picture may not be used commercially" in text_of(sim.last)


async def test_the_choices_name_what_a_model_is_good_at_and_its_speed(
    sim: SimulatedDiscord,
) -> None:
    await redraw(sim, model="sdxl-turbo")
    choices = await sim.alice.autocomplete(sim.channel, "img2img", "model", "sd")
    names = {choice["value"]: choice["name"] for choice in choices}
    assert set(names) == {"sd2-depth", "sdxl-turbo"}
    assert "keeps its shapes" in names["sd2-depth"]
    assert "a picture" in names["sdxl-turbo"]
    assert all(len(name) <= 100 for name in names.values())


async def test_a_model_that_is_not_configured_is_refused(sim: SimulatedDiscord) -> None:
    result = await sim.alice.slash(sim.channel, "img2img", prompt="a fox", image=CAT, model="sd15")
    assert "sd15 is not available here" in said(result)
    assert "sd2-depth, sdxl-turbo, klein-4b" in said(result)


async def test_a_model_without_the_task_is_refused(sim: SimulatedDiscord) -> None:
    result = await sim.alice.slash(
        sim.channel, "img2img", prompt="a fox", image=CAT, model="klein-4b"
    )
    assert "klein-4b cannot do that" in said(result)
    assert "sd2-depth, sdxl-turbo." in said(result)


async def test_a_part_needs_a_model_that_can_redraw_one(sim: SimulatedDiscord) -> None:
    result = await sim.alice.slash(
        sim.channel,
        "img2img",
        prompt="a fox",
        image=CAT,
        model="sdxl-turbo",
        part="background",
    )
    assert "sdxl-turbo has no setting `part`" in said(result)
    assert "choose another model: sd2-depth" in said(result)


async def test_again_keeps_the_model(sim: SimulatedDiscord) -> None:
    first = await redraw(sim, model="sdxl-turbo")
    await press(sim, sim.last, "Again")
    await sim.settled()
    again = (await sim.bot.services.store.jobs_of(sim.alice.id))[0]
    assert again.id != first.id
    assert again.model == "sdxl-turbo"


async def change_model(sim: SimulatedDiscord, **given: Any) -> tuple[Job, Any]:
    """A job with these settings, and the reply to *Edit* with the other model."""
    first = await redraw(sim, **given)
    shown = await press(sim, sim.last, "Edit")
    parts = [label["component"] for label in shown.modal["components"]]
    reply = await sim.alice.submit_modal(
        shown, {parts[0]["custom_id"]: "an owl", parts[-1]["custom_id"]: ["sdxl-turbo"]}
    )
    await sim.settled()
    return first, reply


async def test_edit_refuses_a_model_that_cannot_use_the_structure(sim: SimulatedDiscord) -> None:
    first, refused = await change_model(sim, structure=CAT)
    assert "sdxl-turbo has no setting `structure`" in said(refused)
    assert (await sim.bot.services.store.jobs_of(sim.alice.id))[0] == first


async def test_edit_keeps_the_mask_for_a_model_without_a_depth_map(sim: SimulatedDiscord) -> None:
    first, _ = await change_model(sim, mask=CAT)
    job = (await sim.bot.services.store.jobs_of(sim.alice.id))[0]
    assert job.id != first.id
    assert (job.model, job.mask) == ("sdxl-turbo", first.mask)


async def test_edit_can_change_the_model_and_then_uses_its_defaults(
    sim: SimulatedDiscord,
) -> None:
    await redraw(sim, model="sdxl-turbo", strength=0.5)
    shown = await press(sim, sim.last, "Edit")
    parts = [label["component"] for label in shown.modal["components"]]
    assert len(parts) <= 5
    menu = parts[-1]
    offered = {option["value"]: option.get("default", False) for option in menu["options"]}
    assert offered == {"sd2-depth": False, "sdxl-turbo": True}
    await sim.alice.submit_modal(
        shown, {parts[0]["custom_id"]: "an owl", menu["custom_id"]: ["sd2-depth"]}
    )
    await sim.settled()
    job = (await sim.bot.services.store.jobs_of(sim.alice.id))[0]
    assert (job.prompt, job.model, job.steps, job.guidance_scale) == (
        "an owl",
        "sd2-depth",
        25,
        7.5,
    )
    assert job.variants[0].strength == 0.7


@pytest.mark.parametrize(
    ("model", "fields"),
    [
        ("sd2-depth", ["prompt", "negative", "strength", "seed", "model"]),
        ("sdxl-turbo", ["prompt", "strength", "seed", "model"]),
    ],
)
async def test_edit_has_the_fields_of_the_jobs_model(
    sim: SimulatedDiscord, model: str, fields: list[str]
) -> None:
    await redraw(sim, model=model)
    shown = await press(sim, sim.last, "Edit")
    assert [label["label"] for label in shown.modal["components"]] == [
        translate("en", f"img2img.form.{name}") for name in fields
    ]


async def test_edit_without_another_model_keeps_the_settings(sim: SimulatedDiscord) -> None:
    await redraw(sim, strength=0.5, guidance=2.0, steps=6)
    shown = await press(sim, sim.last, "Edit")
    parts = [label["component"] for label in shown.modal["components"]]
    assert len(parts) == 5
    values = {part["custom_id"]: part.get("value", "") for part in parts[:-1]}
    await sim.alice.submit_modal(shown, values | {parts[0]["custom_id"]: "an owl"})
    await sim.settled()
    job = (await sim.bot.services.store.jobs_of(sim.alice.id))[0]
    assert (job.prompt, job.model, job.steps, job.guidance_scale) == ("an owl", "sd2-depth", 6, 2.0)
    assert job.variants[0].strength == 0.5


async def test_edit_refuses_a_setting_that_the_other_model_does_not_have(
    sim: SimulatedDiscord,
) -> None:
    await redraw(sim, negative_prompt="rain")
    shown = await press(sim, sim.last, "Edit")
    parts = [label["component"] for label in shown.modal["components"]]
    values: dict[str, object] = {part["custom_id"]: part.get("value", "") for part in parts[:-1]}
    values[parts[-1]["custom_id"]] = ["sdxl-turbo"]
    result = await sim.alice.submit_modal(shown, values)
    assert "The model sdxl-turbo has no setting `negative_prompt`" in said(result)


async def test_queue_lists_the_models(sim: SimulatedDiscord) -> None:
    result = await sim.alice.slash(sim.channel, "queue")
    assert "klein-4b: loaded" in said(result)
