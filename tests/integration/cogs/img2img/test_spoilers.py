"""A spoiler stays one: in its answer, its preview, its follow-ups and all that shows it again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import discord
import pytest
import pytest_asyncio

from inference import ImageRequest, ImageResult, Preview, Progress
from tests.support.services import ScriptedService
from tests.support.simulated_discord import SimulatedDiscord, buttons_of, open_shared_discord
from tests.support.simulated_users import CAT, newest_job, press, set_gallery, slash

pytestmark = pytest.mark.asyncio(loop_scope="module")


class PreviewingService(ScriptedService):
    """Each step has a preview."""

    async def generate(
        self, request: ImageRequest, on_progress: Callable[[Progress], None] | None = None
    ) -> ImageResult:
        preview = Preview(pixels=bytes(3 * 8 * 6), width=8, height=6)

        def report(step: Progress) -> None:
            if on_progress is not None:
                on_progress(replace(step, preview=preview))

        return await super().generate(request, report)


SERVICE = PreviewingService()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sim(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SimulatedDiscord]:
    async with open_shared_discord(tmp_path_factory.mktemp("spoilers"), SERVICE) as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hidden(sim: SimulatedDiscord) -> discord.Message:
    """The answer to a request of Alice with a spoiler."""
    image = (f"SPOILER_{CAT[0]}", CAT[1])
    await slash(sim.alice, sim.channel, "img2img", prompt="a fox", image=image)
    await sim.settled()
    return sim.last


def spoilers(message: discord.Message) -> list[bool]:
    """Whether each picture of a message is a spoiler: its file, and the component that shows it."""
    view = discord.ui.LayoutView.from_message(message)
    shown: list[bool] = []
    for item in view.walk_children():
        if isinstance(item, discord.ui.MediaGallery):
            shown += [each.spoiler for each in item.items]
        if isinstance(item, discord.ui.Thumbnail):
            shown.append(item.spoiler)
    files = [attachment.is_spoiler() for attachment in message.attachments]
    assert len(shown) == len(files)
    return [*files, *shown]


async def test_the_answer_and_its_preview_are_spoilers(sim: SimulatedDiscord) -> None:
    SERVICE.gate.clear()
    image = (f"SPOILER_{CAT[0]}", CAT[1])
    await slash(sim.alice, sim.channel, "img2img", prompt="a fox", image=image)
    async with asyncio.timeout(60):
        while not sim.last.attachments:  # noqa: ASYNC110 - simcord has no event for an edit
            await asyncio.sleep(0.02)
    preview = sim.last
    assert preview.attachments[0].filename == "SPOILER_preview.jpg"
    assert spoilers(preview) == [True, True]
    SERVICE.gate.set()
    await sim.settled()
    assert sim.last.attachments[0].filename.startswith("SPOILER_redraw-")
    assert spoilers(sim.last) == [True, True]


@pytest.mark.parametrize(
    "label", ["Again", "Vary subtle", "Vary strong", "Strengths", "Try styles"]
)
async def test_a_follow_up_of_a_spoiler_is_one(
    sim: SimulatedDiscord, hidden: discord.Message, label: str
) -> None:
    result = await press(sim, sim.bob, hidden, label)
    assert (await newest_job(sim, sim.bob)).spoiler
    assert spoilers(result.response.message) == [True, True]


@pytest.mark.parametrize("label", ["Edit", "Use this"])
async def test_the_form_of_a_spoiler_makes_one(
    sim: SimulatedDiscord, hidden: discord.Message, label: str
) -> None:
    form = await press(sim, sim.bob, hidden, label)
    prompt = form.modal["components"][0]["component"]["custom_id"]
    result: Any = await sim.bob.submit_modal(form, {prompt: "an owl"})
    await sim.settled()
    assert (await newest_job(sim, sim.bob)).prompt == "an owl"
    assert spoilers(result.response.message) == [True, True]


@pytest.mark.parametrize("label", ["Before/after", "Depth", "Larger"])
async def test_a_view_of_a_spoiler_is_one_also_when_it_is_posted(
    sim: SimulatedDiscord, hidden: discord.Message, label: str
) -> None:
    shown = (await press(sim, sim.alice, hidden, label)).response.message
    assert spoilers(shown) == [True, True]
    second = "4 × larger" if label == "Larger" else "Post for all"
    other = (await press(sim, sim.alice, shown, second)).response.message
    assert spoilers(other) == [True, True]


async def test_the_animation_of_a_spoiler_is_one(
    sim: SimulatedDiscord, hidden: discord.Message
) -> None:
    shown = (await press(sim, sim.alice, hidden, "Before/after")).response
    await press(sim, sim.alice, shown.message, "As an animation")
    assert shown.attachments[0].filename.startswith("SPOILER_wipe")
    assert spoilers(shown.message) == [True, True]


async def test_a_spoiler_in_a_list_a_gallery_or_shown_again_is_one(
    sim: SimulatedDiscord, hidden: discord.Message
) -> None:
    history = (await slash(sim.alice, sim.channel, "history")).response.message
    assert len(history.attachments) > 0
    assert set(spoilers(history)) == {True}
    job_id = buttons_of(hidden)["Again"].split(":")[2]
    again = (await slash(sim.alice, sim.channel, "show", id=job_id)).response.message
    assert spoilers(again) == [True, True]
    gallery = await set_gallery(sim)
    await press(sim, sim.alice, hidden, "Share")
    assert gallery.last_message is not None
    assert spoilers(gallery.last_message) == [True, True]
