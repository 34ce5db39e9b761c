"""`/edit`, "Edit this" and mentions with a model that edits by instruction."""

from __future__ import annotations

import io
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import discord
import pytest
import pytest_asyncio

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

NAMES = ("cat", "hat", "room", "boat")
FILES = [(f"{name}.png", file_of(photo(96, 96, seed=n))) for n, name in enumerate(NAMES)]
BUTTONS = {"Again", "Edit", "Use this", "Before/after", "Larger", "⭐", "Share", "Delete"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sim(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SimulatedDiscord]:
    """A bot whose only model edits and draws from text."""
    async with open_simulated_discord(
        tmp_path_factory.mktemp("edit"),
        ScriptedService(),
        model="noise-edit",
        queue_limit_per_user=50,
        message_content=True,
    ) as opened:
        yield opened


def images(*numbers: int) -> dict[str, tuple[str, bytes]]:
    """The options for these files, in this order."""
    options = ("image", "image_2", "image_3", "image_4")
    return {option: FILES[number] for option, number in zip(options, numbers, strict=False)}


async def edit(sim: SimulatedDiscord, user: Any = None, **options: Any) -> Any:
    result = await (user or sim.alice).slash(
        sim.channel, "edit", **{"instruction": "put the hat on the cat", **options}
    )
    await sim.settled()
    return result


async def newest(sim: SimulatedDiscord, user: Any = None) -> Job:
    return (await sim.bot.services.store.jobs_of((user or sim.alice).id))[0]


def service_of(sim: SimulatedDiscord) -> ScriptedService:
    service = sim.bot.services.inference
    assert isinstance(service, ScriptedService)
    return service


def pixels(number: int) -> bytes:
    return photo(96, 96, seed=number).tobytes()


def inverted(number: int) -> bytes:
    """The result of the service for a picture."""
    return bytes(255 - value for value in pixels(number))


def difference(one: bytes, other: bytes) -> float:
    """The mean difference of two pictures: a posted result was enlarged and is reduced again."""
    pairs = zip(one, other, strict=True)
    return sum(abs(first - second) for first, second in pairs) / len(one)


def stored_files(sim: SimulatedDiscord) -> set[Path]:
    return set((sim.bot.services.settings.data_dir / "pictures").iterdir())


async def press(sim: SimulatedDiscord, user: Any, message: discord.Message, label: str) -> Any:
    result = await user.click(message, custom_id=buttons_of(message)[label])
    await sim.settled()
    return result


@pytest.mark.parametrize("numbers", [(0,), (0, 1), (3, 2, 1, 0)])
async def test_one_to_four_pictures_reach_the_model_in_their_order(
    sim: SimulatedDiscord, numbers: tuple[int, ...]
) -> None:
    await edit(sim, **images(*numbers))
    request = service_of(sim).requests[-1]
    assert request.prompt == "put the hat on the cat"
    assert request.pixels == pixels(numbers[0])
    assert [each.pixels for each in request.references] == [pixels(n) for n in numbers[1:]]
    assert (request.strength, request.steps, request.guidance_scale) == (1.0, 4, 1.0)
    job = await newest(sim)
    assert job.task == "edit"
    assert len(job.sources) == len(numbers)


async def test_the_answer_names_every_picture_and_no_setting_that_the_model_lacks(
    sim: SimulatedDiscord,
) -> None:
    await edit(sim, **images(0, 1), seed=7)
    text = text_of(sim.last)
    for said in ("cat.png", "hat.png", "4 steps", "seed 7", "96 × 96"):
        assert said in text
    assert "strength" not in text
    assert "guidance" not in text
    # Nothing with a strength: neither a variation nor a sheet of strengths.
    assert set(buttons_of(sim.last)) - {"Depth"} == BUTTONS


async def test_pictures_are_attached_and_linked_together(sim: SimulatedDiscord) -> None:
    message = await sim.bob.send(sim.channel, "look", attachments=[FILES[1]])
    before = len(service_of(sim).requests)
    await edit(sim, **images(0), links=f"this one: {message.jump_url}")
    job = await newest(sim)
    assert len(service_of(sim).requests) == before + 1
    assert len(job.sources) == 2
    assert service_of(sim).requests[-1].references[0].pixels == pixels(1)
    assert "hat.png" in job.source_names


async def test_without_pictures_the_newest_one_in_the_channel_is_edited(
    sim: SimulatedDiscord,
) -> None:
    await edit(sim, **images(2))
    result = sim.last
    await edit(sim)
    request = service_of(sim).requests[-1]
    assert request.references == ()
    assert difference(request.pixels, inverted(2)) < 8
    assert result.jump_url in (await newest(sim)).source_name


async def test_more_pictures_than_the_model_reads_are_refused(sim: SimulatedDiscord) -> None:
    message = await sim.bob.send(sim.channel, "look", attachments=[FILES[1]])
    before = stored_files(sim)
    result = await edit(sim, **images(0, 1, 2, 3), links=message.jump_url)
    assert "at most 4 pictures in one request, and you gave 5" in result.followups[-1].content
    assert stored_files(sim) == before


async def test_nothing_is_stored_if_one_picture_cannot_be_read(sim: SimulatedDiscord) -> None:
    before = stored_files(sim), len(service_of(sim).requests)
    new = ("new.png", file_of(photo(96, 96, seed=77)))
    await edit(sim, image=new, image_2=("broken.png", b"\x89PNG\r\n\x1a\n no picture"))
    assert (stored_files(sim), len(service_of(sim).requests)) == before


async def test_one_spoiler_makes_the_whole_job_a_spoiler(sim: SimulatedDiscord) -> None:
    await edit(sim, **images(0), image_2=("SPOILER_hat.png", FILES[1][1]))
    assert (await newest(sim)).spoiler
    assert sim.last.attachments[0].is_spoiler()


async def test_again_uses_all_pictures(sim: SimulatedDiscord) -> None:
    await edit(sim, **images(0, 1, 2))
    parent = await newest(sim)
    await press(sim, sim.bob, sim.last, "Again")
    child = await newest(sim, sim.bob)
    assert child.parent_id == parent.id
    assert (child.task, child.sources) == ("edit", parent.sources)
    assert child.variants[0].seed != parent.variants[0].seed


async def test_the_form_of_edit_has_only_the_settings_of_the_model(sim: SimulatedDiscord) -> None:
    await edit(sim, **images(0, 1), seed=9)
    shown = await press(sim, sim.alice, sim.last, "Edit")
    assert shown.modal["title"] == "Edit"
    assert [label["label"] for label in shown.modal["components"]] == [
        "Prompt",
        "Seed (empty: a new one)",
    ]
    ids = [label["component"]["custom_id"] for label in shown.modal["components"]]
    await sim.alice.submit_modal(shown, {ids[0]: "put the cat in the room", ids[1]: "9"})
    await sim.settled()
    job = await newest(sim)
    assert job.prompt == "put the cat in the room"
    assert len(job.sources) == 2


async def test_use_this_edits_the_result_alone_where_no_model_redraws(
    sim: SimulatedDiscord,
) -> None:
    await edit(sim, **images(0, 1))
    parent = await newest(sim)
    shown = await press(sim, sim.bob, sim.last, "Use this")
    ids = [label["component"]["custom_id"] for label in shown.modal["components"]]
    await sim.bob.submit_modal(shown, {ids[0]: "make it night"})
    await sim.settled()
    child = await newest(sim, sim.bob)
    assert (child.task, child.sources) == ("edit", (parent.variants[0].result,))


async def test_before_and_after_shows_the_first_picture(sim: SimulatedDiscord) -> None:
    await edit(sim, **images(0, 1))
    shown = await press(sim, sim.alice, sim.last, "Before/after")
    assert shown.response.attachments


async def test_edit_this_takes_the_chosen_pictures_of_a_message_and_an_upload(
    sim: SimulatedDiscord,
) -> None:
    message = await sim.bob.send(sim.channel, "look", attachments=FILES[:3])
    shown: Any = await sim.alice.context_menu(sim.channel, "Edit this", message)
    assert [label["label"] for label in shown.modal["components"]] == [
        "Instruction",
        "Which pictures?",
        "Further pictures of your own",
    ]
    ids = [label["component"]["custom_id"] for label in shown.modal["components"]]
    values = {ids[0]: "combine them", ids[1]: ["0", "2"], ids[2]: FILES[3]}
    await sim.alice.submit_modal(shown, values)
    await sim.settled()
    request = service_of(sim).requests[-1]
    assert request.prompt == "combine them"
    assert request.pixels == pixels(0)
    assert [each.pixels for each in request.references] == [pixels(2), pixels(3)]


async def test_a_mention_edits_the_pictures_of_the_message_and_of_the_replied_to_one(
    sim: SimulatedDiscord,
) -> None:
    assert sim.bot.user is not None
    await edit(sim, **images(2))
    result = sim.last
    text = f"{sim.bot.user.mention} put the cat in it"
    await sim.bob.send(sim.channel, text, attachments=[FILES[0]], reply_to=result)
    await sim.settled()
    request = service_of(sim).requests[-1]
    assert request.prompt == "put the cat in it"
    assert request.pixels == pixels(0)
    (reference,) = request.references
    assert difference(reference.pixels, inverted(2)) < 8


async def test_an_export_holds_every_picture(sim: SimulatedDiscord) -> None:
    await edit(sim, **images(0, 1, 2))
    job = await newest(sim)
    result: Any = await sim.alice.slash(sim.channel, "privacy export")
    await sim.env.settle()
    replies = [result.response, *result.followups]
    files = [file for reply in replies if reply for file in reply.attachments]
    names = {
        name for file in files for name in zipfile.ZipFile(io.BytesIO(await file.read())).namelist()
    }
    assert {f"pictures/{name}.png" for name in job.sources} <= names


async def test_a_picture_from_a_channel_that_another_user_cannot_read_is_not_theirs_to_use(
    sim: SimulatedDiscord,
) -> None:
    closed = discord.PermissionOverwrite(view_channel=False)
    hidden = sim.env.guild.create_text_channel("hidden", overwrites={sim.bob: closed})
    await sim.alice.slash(hidden, "edit", instruction="secret", **images(1))
    await sim.settled()
    message = hidden.last_message
    assert message is not None
    await edit(sim, **images(0), links=message.jump_url)
    assert hidden.id in (await newest(sim)).source_channel_ids
    result = await press(sim, sim.bob, sim.last, "Again")
    assert "no longer know" in result.response.content
    assert (await press(sim, sim.alice, sim.last, "Again")).acknowledged
    await press(sim, sim.bob, sim.last, "Use this")


async def test_several_results_are_made_of_the_same_pictures(sim: SimulatedDiscord) -> None:
    await edit(sim, **images(0, 1), count=2)
    first, second = service_of(sim).requests[-2:]
    assert first.references == second.references
    assert first.seed != second.seed
    assert len(sim.last.attachments) == 2


async def test_private_results_are_seen_by_their_user_only(sim: SimulatedDiscord) -> None:
    before = sim.last.id
    result = await edit(sim, **images(0, 1), private=True)
    assert sim.last.id == before
    assert (await newest(sim)).destination.private
    assert result.acknowledged
