"""A spoiler that the bot finds in a message makes a spoiler; any other picture does not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.support.pictures import file_of, photo
from tests.support.services import ScriptedService
from tests.support.simulated_discord import SimulatedDiscord, open_shared_discord
from tests.support.simulated_users import newest_job, slash

pytestmark = pytest.mark.asyncio(loop_scope="module")

DOG = file_of(photo(100, 80, seed=4))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sim(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SimulatedDiscord]:
    folder = tmp_path_factory.mktemp("found-spoilers")
    async with open_shared_discord(folder, ScriptedService(), message_content=True) as opened:
        yield opened


async def check(sim: SimulatedDiscord, spoiler: bool) -> None:
    """The newest job and its answer."""
    await sim.settled()
    job = await newest_job(sim, sim.alice)
    assert job.spoiler is spoiler
    assert [each.is_spoiler() for each in sim.last.attachments] == [spoiler]
    await sim.bot.services.store.erase_user(sim.alice.id)


@pytest.mark.parametrize(("name", "spoiler"), [("SPOILER_dog.png", True), ("dog.png", False)])
@pytest.mark.parametrize("how", ["newest", "link", "menu", "upload", "reply", "mention"])
async def test_a_picture_of_a_message_keeps_whether_it_is_a_spoiler(
    sim: SimulatedDiscord, how: str, name: str, spoiler: bool
) -> None:
    assert sim.bot.user is not None
    mention, file = sim.bot.user.mention, (name, DOG)
    found = await sim.bob.send(sim.channel, "look", attachments=[file])
    match how:
        case "newest":
            await slash(sim.alice, sim.channel, "img2img", prompt="x")
        case "link":
            await slash(sim.alice, sim.channel, "img2img", prompt="x", url=found.jump_url)
        case "menu" | "upload":
            form: Any = await sim.alice.context_menu(sim.channel, "Redraw this", found)
            fields = [label["component"]["custom_id"] for label in form.modal["components"]]
            values: dict[str, Any] = {fields[0]: "x"}
            if how == "upload":
                values[fields[-1]] = file
            await sim.alice.submit_modal(form, values)
        case "reply":
            await sim.alice.send(sim.channel, f"{mention} x", reply_to=found)
        case "mention":
            await sim.alice.send(sim.channel, f"{mention} x", attachments=[file])
    await check(sim, spoiler)


async def test_the_first_readable_picture_decides_whether_it_is_a_spoiler(
    sim: SimulatedDiscord,
) -> None:
    await sim.bob.send(sim.channel, "look", attachments=[("SPOILER_dog.png", DOG)])
    await sim.bob.send(sim.channel, "broken", attachments=[("broken.png", b"no picture")])
    await slash(sim.alice, sim.channel, "img2img", prompt="x")
    await check(sim, spoiler=True)
