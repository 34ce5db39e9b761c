"""Buttons of pictures whose model was removed, or does not have a setting of the picture."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from bot.jobs.job import Job
from inference import ModelEntry
from tests.support.several_models import CAT, MODELS, configured, press, redraw, said, service
from tests.support.simulated_discord import SimulatedDiscord, open_shared_discord
from tests.support.simulated_users import newest_job, slash

pytestmark = pytest.mark.asyncio(loop_scope="module")
# As of a folder with a distilled model: it has neither guidance nor a negative prompt.
OWN = ModelEntry(
    name="own", source="", licence="", tasks=("edit", "text2img"), options=frozenset({"mask"})
)
GONE = "The model sd2-depth is no longer available here. sdxl-turbo takes its place"
LEFT_OUT = "sdxl-turbo does not have these settings, and the request leaves them out: {}."


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sim(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SimulatedDiscord]:
    folder = tmp_path_factory.mktemp("replacement")
    models = (*MODELS, "sd15")
    async with open_shared_discord(folder, service(), model=MODELS[0], models=models) as opened:
        yield opened


async def draw(sim: SimulatedDiscord, **options: Any) -> Job:
    """The job of Alice's request to draw from text."""
    await slash(sim.alice, sim.channel, "imagine", prompt="a fox", **options)
    await sim.settled()
    return await newest_job(sim, sim.alice)


def note_of(form: Any) -> str:
    """The text above the fields of a form; empty if it has none."""
    texts = [each["content"] for each in form.modal["components"] if each["type"] == 10]
    return "".join(texts)


async def submit(sim: SimulatedDiscord, form: Any, prompt: str = "an owl") -> Any:
    """Send a form with another prompt."""
    fields = [each["component"] for each in form.modal["components"] if "component" in each]
    return await sim.alice.submit_modal(form, {fields[0]["custom_id"]: prompt})


async def test_edit_names_the_settings_that_the_model_in_its_place_does_not_have(
    sim: SimulatedDiscord,
) -> None:
    await redraw(sim, negative_prompt="rain", structure=CAT, strength=0.4, guidance=3.0)
    message = sim.last
    with configured(sim, "sdxl-turbo"):
        form = await press(sim, message, "Edit")
        assert note_of(form).startswith(GONE)
        assert note_of(form).endswith(LEFT_OUT.format("`structure`, `negative_prompt`"))
        await submit(sim, form)
        await sim.settled()
    job = await newest_job(sim, sim.alice)
    assert (job.prompt, job.model, job.negative_prompt) == ("an owl", "sdxl-turbo", "")
    assert job.structure is None
    assert (job.steps, job.guidance_scale, job.variants[0].strength) == (4, 1.0, 0.7)


async def test_a_form_that_is_opened_again_has_the_note(sim: SimulatedDiscord) -> None:
    await redraw(sim, part="background")
    message = sim.last
    with configured(sim, "sdxl-turbo"):
        form = await press(sim, message, "Edit")
        assert note_of(form).endswith(LEFT_OUT.format("`part`"))
        refused = await submit(sim, form, "   ")
        reply = refused.response
        again = await sim.alice.click(reply.message, label="Correct it")
        assert note_of(again) == note_of(form)
        await submit(sim, again)
        await sim.settled()
    job = await newest_job(sim, sim.alice)
    assert (job.model, job.part) == ("sdxl-turbo", "everything")


async def test_without_a_replacement_a_form_has_no_note(sim: SimulatedDiscord) -> None:
    await redraw(sim, negative_prompt="rain")
    assert note_of(await press(sim, sim.last, "Edit")) == ""


@pytest.mark.parametrize("label", ["Again", "Vary subtle", "Strengths", "Try styles"])
async def test_buttons_without_a_form_refuse_a_removed_model(
    sim: SimulatedDiscord, label: str
) -> None:
    first = await redraw(sim)
    message = sim.last
    with configured(sim, "sdxl-turbo"):
        refused = await press(sim, message, label)
    assert "sd2-depth is not available here" in said(refused)
    assert await newest_job(sim, sim.alice) == first


async def test_vary_refuses_a_setting_that_the_model_in_its_place_does_not_have(
    sim: SimulatedDiscord,
) -> None:
    with configured(sim, "sd15"):
        first = await draw(sim, negative_prompt="rain")
    message = sim.last
    with configured(sim, "sdxl-turbo"):
        refused = await press(sim, message, "Vary subtle")
        assert "sdxl-turbo has no setting `negative_prompt`" in said(refused)
        assert await newest_job(sim, sim.alice) == first
        form = await press(sim, message, "Use this")
        assert "The model sd15 is no longer available here." in note_of(form)
        assert note_of(form).endswith(LEFT_OUT.format("`negative_prompt`"))


async def test_again_works_with_a_model_that_the_catalogue_does_not_have(
    sim: SimulatedDiscord,
) -> None:
    with configured(sim, OWN):
        first = await draw(sim)
        await press(sim, sim.last, "Again")
        await sim.settled()
    again = await newest_job(sim, sim.alice)
    assert (again.parent_id, again.model) == (first.id, "own")


async def test_a_style_is_not_added_to_an_instruction(sim: SimulatedDiscord) -> None:
    with configured(sim, OWN):
        first = await draw(sim, style="Watercolour")
        assert first.prompt.startswith("watercolour painting of a fox")
        form = await press(sim, sim.last, "Use this")
        await submit(sim, form, "give it a hat")
        await sim.settled()
    job = await newest_job(sim, sim.alice)
    assert (job.task, job.prompt, job.style) == ("edit", "give it a hat", None)
