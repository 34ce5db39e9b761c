"""After a mistake in a form, the typed text is kept."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.support.pictures import file_of, photo
from tests.support.services import ScriptedService
from tests.support.simulated_discord import SimulatedDiscord, buttons_of, open_shared_discord
from tests.support.simulated_users import CAT, newest_job, press, redraw

pytestmark = pytest.mark.asyncio(loop_scope="module")
AGAIN = "Correct it"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sim(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SimulatedDiscord]:
    async with open_shared_discord(tmp_path_factory.mktemp("forms"), ScriptedService()) as opened:
        yield opened


def fields_of(shown: Any) -> list[dict[str, Any]]:
    return [label["component"] for label in shown.modal["components"]]


async def submit(user: Any, shown: Any, *values: Any) -> Any:
    """Send the form with these values in its fields, in order."""
    ids = [field["custom_id"] for field in fields_of(shown)]
    return await user.submit_modal(shown, dict(zip(ids, values, strict=False)))


async def open_again(user: Any, refused: Any) -> Any:
    message = (refused.response or refused.followups[-1]).message
    return await user.click(message, custom_id=buttons_of(message)[AGAIN])


async def test_edit_opens_again_with_every_field_as_it_was_typed(sim: SimulatedDiscord) -> None:
    await redraw(sim)
    typed = ["an owl", "rain", "much", ["foreground"], "10"]
    shown = await press(sim, sim.alice, sim.last, "Edit")
    refused = await submit(sim.alice, shown, *typed)
    assert "must be a number from 0.05 to 1" in refused.response.content
    again = await open_again(sim.alice, refused)
    prompt, negative, strength, part, seed = fields_of(again)
    assert [field["value"] for field in (prompt, negative, strength, seed)] == [*typed[:3], "10"]
    assert [option["value"] for option in part["options"] if option.get("default")] == typed[3]
    refused = await submit(sim.alice, again, "an owl", "rain", "0.5", ["background"], "many")
    again = await open_again(sim.alice, refused)
    await submit(sim.alice, again, "an owl", "rain", "0.5", ["background"], "12")
    await sim.settled()
    job = await newest_job(sim, sim.alice)
    assert (job.prompt, job.negative_prompt, job.part) == ("an owl", "rain", "background")
    assert (job.variants[0].strength, job.variants[0].seed) == (0.5, 12)


async def test_an_error_after_the_form_was_accepted_keeps_it_too(sim: SimulatedDiscord) -> None:
    await redraw(sim)
    shown = await press(sim, sim.alice, sim.last, "Use this")
    refused = await submit(sim.alice, shown, "   ", "rain", "", ["everything"], "")
    assert "prompt is empty" in refused.response.content
    again = await open_again(sim.alice, refused)
    assert fields_of(again)[1]["value"] == "rain"
    assert await sim.bot.services.store.unanswered() == []


async def test_redraw_this_keeps_the_text_and_the_chosen_picture(sim: SimulatedDiscord) -> None:
    files = [CAT, ("dog.png", file_of(photo(128, 128, seed=2)))]
    message = await sim.bob.send(sim.channel, "look", attachments=files)
    shown = await sim.alice.context_menu(sim.channel, "Redraw this", message)
    refused = await submit(sim.alice, shown, "an owl", "rain", "strong", ["1"])
    again = await open_again(sim.alice, refused)
    prompt, negative, strength, choice, _ = fields_of(again)
    assert (prompt["value"], negative["value"], strength["value"]) == ("an owl", "rain", "strong")
    assert [option["value"] for option in choice["options"] if option.get("default")] == ["1"]


async def test_redraw_this_keeps_an_uploaded_picture(sim: SimulatedDiscord) -> None:
    message = await sim.bob.send(sim.channel, "no picture")
    shown = await sim.alice.context_menu(sim.channel, "Redraw this", message)
    own = ("own.png", file_of(photo(100, 100, seed=3)))
    ids = [field["custom_id"] for field in fields_of(shown)]
    refused = await sim.alice.submit_modal(shown, {ids[0]: "an owl", ids[2]: "strong", ids[4]: own})
    again = await open_again(sim.alice, refused)
    assert not fields_of(again)[4]["required"]
    await submit(sim.alice, again, "an owl", "", "0.5")
    await sim.settled()
    job = await newest_job(sim, sim.alice)
    assert job.source_name == "own.png"
