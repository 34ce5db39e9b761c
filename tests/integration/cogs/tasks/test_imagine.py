"""`/imagine`: pictures drawn from text."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from typing import Any

import discord
import pytest
import pytest_asyncio
from PIL import Image

from bot.images.encode import DIGITAL_SOURCE_TYPE, FROM_TEXT_SOURCE_TYPE
from bot.jobs.job import Job
from tests.support.pictures import file_of, photo
from tests.support.services import ScriptedService
from tests.support.simulated_discord import (
    SimulatedDiscord,
    buttons_of,
    open_simulated_discord,
    text_of,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

CAT = ("cat.png", file_of(photo(96, 96)))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sim(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SimulatedDiscord]:
    """A bot whose only model edits and draws from text."""
    async with open_simulated_discord(
        tmp_path_factory.mktemp("imagine"),
        ScriptedService(),
        model="noise-edit",
        queue_limit_per_user=50,
    ) as opened:
        yield opened


async def imagine(sim: SimulatedDiscord, **options: Any) -> Job:
    await sim.alice.slash(sim.channel, "imagine", **{"prompt": "a fox in the snow", **options})
    await sim.settled()
    return (await sim.bot.services.store.jobs_of(sim.alice.id))[0]


async def picture_in(message: discord.Message) -> Image.Image:
    return Image.open(io.BytesIO(await message.attachments[0].read()))


@pytest.mark.parametrize(
    ("shape", "size"), [("square", (96, 96)), ("portrait", (64, 128)), ("landscape", (128, 64))]
)
async def test_a_picture_is_drawn_in_the_chosen_shape(
    sim: SimulatedDiscord, shape: str, size: tuple[int, int]
) -> None:
    job = await imagine(sim, size=shape)
    service = sim.bot.services.inference
    assert isinstance(service, ScriptedService)
    request = service.requests[-1]
    assert (request.pixels, request.references) == (b"", ())
    assert (request.width, request.height) == size == (job.width, job.height)
    picture = await picture_in(sim.last)
    assert picture.width * size[1] == picture.height * size[0]


async def test_the_answer_has_no_source_and_no_button_that_needs_one(
    sim: SimulatedDiscord,
) -> None:
    job = await imagine(sim, seed=5)
    text = text_of(sim.last)
    assert "seed 5" in text
    assert "from" not in text
    assert f"<@{sim.alice.id}>" in text
    assert set(buttons_of(sim.last)) == {
        *("Again", "Edit", "Use this", "Larger", "⭐", "Share", "Delete")
    }
    assert sim.last.attachments[0].description == "a fox in the snow (a picture drawn by AI)"
    assert job.sources == ()


async def test_its_file_says_that_it_was_made_from_text_alone(sim: SimulatedDiscord) -> None:
    await imagine(sim)
    drawn = await sim.last.attachments[0].read()
    assert FROM_TEXT_SOURCE_TYPE.encode() in drawn
    assert DIGITAL_SOURCE_TYPE.encode() not in drawn
    await sim.alice.slash(sim.channel, "edit", instruction="x", image=CAT)
    await sim.settled()
    assert DIGITAL_SOURCE_TYPE.encode() in await sim.last.attachments[0].read()


async def test_again_draws_with_another_seed(sim: SimulatedDiscord) -> None:
    parent = await imagine(sim, size="landscape")
    await sim.alice.click(sim.last, custom_id=buttons_of(sim.last)["Again"])
    await sim.settled()
    child = (await sim.bot.services.store.jobs_of(sim.alice.id))[0]
    assert (child.task, child.sources, child.parent_id) == ("text2img", (), parent.id)
    assert (child.width, child.height) == (parent.width, parent.height)
    assert child.variants[0].seed != parent.variants[0].seed


async def test_its_form_has_the_prompt_and_the_seed(sim: SimulatedDiscord) -> None:
    await imagine(sim)
    shown: Any = await sim.alice.click(sim.last, custom_id=buttons_of(sim.last)["Edit"])
    assert shown.modal["title"] == "Draw"
    ids = [label["component"]["custom_id"] for label in shown.modal["components"]]
    await sim.alice.submit_modal(shown, {ids[0]: "an owl", ids[1]: "3"})
    await sim.settled()
    child = (await sim.bot.services.store.jobs_of(sim.alice.id))[0]
    assert (child.prompt, child.task, child.variants[0].seed) == ("an owl", "text2img", 3)


async def test_a_style_is_applied(sim: SimulatedDiscord) -> None:
    style = next(sim.bot.services.styles.matching(""))
    job = await imagine(sim, style=style)
    assert job.style == style
    assert job.shown_prompt == "a fox in the snow" != job.prompt
    # The model has no negative prompt; that of the style is left out.
    assert job.negative_prompt == ""


async def test_a_result_can_be_shared_without_a_source(sim: SimulatedDiscord) -> None:
    gallery = sim.env.guild.create_text_channel("gallery")
    await sim.bot.services.store.guild_settings.set_gallery(sim.env.guild.id, gallery.id)
    await imagine(sim)
    await sim.alice.click(sim.last, custom_id=buttons_of(sim.last)["Share"])
    await sim.settled()
    assert gallery.last_message is not None
    assert "drawn by AI" in text_of(gallery.last_message)
