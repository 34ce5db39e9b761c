"""Buttons, forms, history, sharing: what a conversation with pictures is made of."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import discord
import pytest_asyncio
from PIL import Image, ImageChops, ImageStat

from bot.jobs.job import Job
from bot.montage import SHOWN_SIDE, shown, shown_factor
from tests.support.house import House, buttons_of, open_house, text_of
from tests.support.pictures import file_of, photo
from tests.support.services import ScriptedService

CAT = ("cat.png", file_of(photo(160, 128)))
FINISHED = {
    *("Again", "Vary", "Edit", "Use this", "Strengths", "Before/after", "Depth", "Larger"),
    *("Share", "Delete"),
}


@pytest_asyncio.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with open_house(tmp_path, ScriptedService(), queue_limit_per_person=50) as opened:
        yield opened


async def redraw(house: House, prompt: str = "a fox", **options: Any) -> discord.Message:
    await house.alice.slash(house.channel, "img2img", prompt=prompt, image=CAT, **options)
    await house.settled()
    return house.last


async def jobs(house: House) -> list[Job]:
    return await house.bot.services.store.jobs_of(house.alice.id)


async def slash(house: House, person: Any, name: str, **options: Any) -> Any:
    return await person.slash(house.channel, name, **options)


async def press(house: House, person: Any, message: discord.Message, label: str) -> Any:
    result = await person.click(message, custom_id=buttons_of(message)[label])
    await house.settled()
    return result


async def picture_in(message: discord.Message, index: int = 0) -> Image.Image:
    return Image.open(io.BytesIO(await message.attachments[index].read()))


async def test_a_finished_picture_has_its_buttons(house: House) -> None:
    assert set(buttons_of(await redraw(house))) == FINISHED


async def test_again_asks_for_the_same_with_a_new_seed_as_a_reply_to_its_parent(
    house: House,
) -> None:
    message = await redraw(house, negative_prompt="rain", strength=0.5, steps=10, seed=1)
    await press(house, house.bob, message, "Again")
    parent = (await jobs(house))[0]
    (child,) = await house.bot.services.store.jobs_of(house.bob.id)
    assert child.parent_id == parent.id
    assert (child.prompt, child.negative_prompt, child.steps) == ("a fox", "rain", 10)
    assert child.variants[0].strength == 0.5
    assert child.variants[0].seed != 1
    assert child.source == parent.source
    assert house.last.id != message.id


async def test_vary_begins_with_the_result_and_changes_little(house: House) -> None:
    message = await redraw(house, strength=0.9)
    await press(house, house.alice, message, "Vary")
    child, parent = await jobs(house)
    assert child.source == parent.variants[0].result
    assert child.variants[0].strength < 0.5


async def test_edit_shows_a_form_filled_in_as_it_was_and_asks_anew(house: House) -> None:
    message = await redraw(house, negative_prompt="rain", strength=0.5, guidance=3.0, seed=9)
    shown = await press(house, house.alice, message, "Edit")
    defaults = [label["component"].get("value") for label in shown.modal["components"]]
    assert defaults == ["a fox", "rain", "0.5", "3", "9"]
    ids = [label["component"]["custom_id"] for label in shown.modal["components"]]
    values = dict(zip(ids, ["an owl", "", "0,8", "4", "10"], strict=True))
    await house.alice.submit_modal(shown, values)
    await house.settled()
    child, parent = await jobs(house)
    assert (child.prompt, child.negative_prompt, child.guidance_scale) == ("an owl", "", 4.0)
    assert (child.variants[0].strength, child.variants[0].seed) == (0.8, 10)
    assert child.parent_id == parent.id


async def test_a_form_with_a_wrong_number_says_so(house: House) -> None:
    message = await redraw(house)
    shown = await press(house, house.alice, message, "Edit")
    ids = [label["component"]["custom_id"] for label in shown.modal["components"]]
    values = dict(zip(ids, ["an owl", "", "much", "4", "10"], strict=True))
    result: Any = await house.alice.submit_modal(shown, values)
    assert result.response.ephemeral
    assert "must be a number from 0.05 to 1" in result.response.content
    assert len(await jobs(house)) == 1


async def test_use_this_makes_the_result_the_source_of_a_new_request(house: House) -> None:
    message = await redraw(house)
    shown = await press(house, house.bob, message, "Use this")
    ids = [label["component"]["custom_id"] for label in shown.modal["components"]]
    await house.bob.submit_modal(shown, {ids[0]: "as a statue"})
    await house.settled()
    parent = (await jobs(house))[0]
    (child,) = await house.bot.services.store.jobs_of(house.bob.id)
    assert child.source == parent.variants[0].result
    assert parent.id in child.source_name


async def test_strengths_is_one_labelled_sheet_of_the_same_seed(house: House) -> None:
    message = await redraw(house, seed=5)
    await press(house, house.alice, message, "Strengths")
    child = (await jobs(house))[0]
    assert [variant.strength for variant in child.variants] == [0.1, 0.4, 0.7, 1.0]
    assert {variant.seed for variant in child.variants} == {5}
    assert len(house.last.attachments) == 1
    sheet = await picture_in(house.last)
    assert sheet.width > 2 * child.width
    assert sheet.height > 2 * child.height


async def test_before_and_after_stand_side_by_side(house: House) -> None:
    message = await redraw(house)
    result = await press(house, house.bob, message, "Before/after")
    assert result.response.ephemeral
    sheet = Image.open(io.BytesIO(await result.response.attachments[0].read()))
    job = (await jobs(house))[0]
    source = await house.bot.services.store.pictures.get(job.source)
    before = shown(source)
    left = sheet.crop((8, 8, 8 + before.width, 8 + before.height))
    assert left.tobytes() == before.pixels


async def test_depth_shows_the_map_that_steered_it(house: House) -> None:
    message = await redraw(house)
    result = await press(house, house.bob, message, "Depth")
    posted = Image.open(io.BytesIO(await result.response.attachments[0].read())).convert("L")
    job = (await jobs(house))[0]
    source = await house.bot.services.store.pictures.get(job.source)
    # The scripted engine's depth is the source's red; it is posted larger than it was made.
    size = (job.width, job.height)
    red = Image.frombytes("RGB", size, source.pixels).getchannel("R")
    assert max(posted.size) >= SHOWN_SIDE
    far = ImageChops.difference(posted.resize(size, Image.Resampling.BOX), red)
    assert ImageStat.Stat(far).mean[0] < 4


async def test_larger_is_twice_the_size_and_says_how(house: House) -> None:
    message = await redraw(house)
    result = await press(house, house.alice, message, "Larger")
    job = (await jobs(house))[0]
    large = Image.open(io.BytesIO(await result.response.attachments[0].read()))
    factor = 2 * shown_factor(job.width, job.height)
    assert large.size == (factor * job.width, factor * job.height)
    assert "Lanczos" in result.response.content


async def test_delete_is_for_the_owner_and_moderators(house: House) -> None:
    message = await redraw(house)
    result = await press(house, house.bob, message, "Delete")
    assert "or a moderator" in result.response.content
    await press(house, house.alice, message, "Delete")
    assert house.channel.last_message is None
    assert await jobs(house) == []


async def test_a_moderator_may_delete(house: House) -> None:
    message = await redraw(house)
    role = house.env.guild.create_role(
        "mods", permissions=discord.Permissions(manage_messages=True, view_channel=True)
    )
    mod = house.env.guild.add_member(house.env.create_user("mod"), roles=[role])
    await press(house, mod, message, "Delete")
    assert await jobs(house) == []


async def test_every_button_of_a_forgotten_job_says_so(house: House) -> None:
    message = await redraw(house)
    await house.bot.services.store.forget_user(house.alice.id)
    for label in FINISHED:
        result = await press(house, house.alice, message, label)
        assert result.response.ephemeral
        assert "no longer know this picture" in result.response.content


async def test_buttons_work_after_a_restart(tmp_path: Path) -> None:
    async with open_house(tmp_path, ScriptedService()) as house:
        message = await redraw(house)
        buttons = buttons_of(message)
    async with open_house(tmp_path, ScriptedService()) as reborn:
        # A fresh simulated server: the message is posted again as Discord would have kept it.
        job = (await reborn.bot.services.store.jobs_of(house.alice.id))[0]
        answer = await reborn.bot.services.delivery.draw(job)
        target = reborn.bot.get_channel(reborn.channel.id)
        assert isinstance(target, discord.TextChannel)
        old = await target.send(view=answer.view, files=[f.file() for f in answer.files])
        assert buttons_of(old) == buttons
        await press(reborn, reborn.bob, old, "Again")
        (child,) = await reborn.bot.services.store.jobs_of(reborn.bob.id)
        assert child.parent_id == job.id
        assert reborn.last.attachments


async def test_several_pictures_come_as_one_message_and_each_can_be_used(house: House) -> None:
    message = await redraw(house, count=3, seed=100)
    assert len(message.attachments) == 3
    job = (await jobs(house))[0]
    assert [variant.seed for variant in job.variants] == [100, 101, 102]
    asked = await press(house, house.alice, message, "Vary")
    assert asked.response.ephemeral
    second = buttons_of(asked.response.message)["Vary 2"]
    await house.alice.click(asked.response, custom_id=second)
    await house.settled()
    assert (await jobs(house))[0].source == job.variants[1].result


async def test_a_style_wraps_the_prompt_and_suggests_a_strength(house: House) -> None:
    choices = await house.alice.autocomplete(house.channel, "img2img", "style", "pix")
    assert [choice["name"] for choice in choices] == ["Pixel art"]
    await redraw(house, style="Pixel art", negative_prompt="rain")
    job = (await jobs(house))[0]
    assert job.prompt.startswith("pixel art of a fox")
    assert job.negative_prompt.startswith("rain, photo")
    assert job.variants[0].strength == 0.8
    result = await house.alice.slash(
        house.channel, "img2img", prompt="x", image=CAT, style="Cubism"
    )
    assert "no style Cubism" in result.followups[-1].content


async def test_a_private_picture_is_seen_by_its_owner_alone(house: House) -> None:
    result = await slash(house, house.alice, "img2img", prompt="secret", image=CAT, private=True)
    await house.settled()
    assert result.response.ephemeral
    assert "secret" in text_of(result.response.message)
    assert result.response.attachments
    gallery = house.env.guild.create_text_channel("gallery")
    await house.bot.services.store.set_gallery(house.env.guild.id, gallery.id)
    await press(house, house.alice, result.response.message, "Share")
    assert gallery.last_message is not None
    assert "secret" in text_of(gallery.last_message)


async def test_sharing_needs_a_gallery_gives_credit_and_keeps_a_spoiler(house: House) -> None:
    image = ("SPOILER_cat.png", CAT[1])
    await house.alice.slash(house.channel, "img2img", prompt="a fox", image=image)
    await house.settled()
    message = house.last
    result = await press(house, house.alice, message, "Share")
    assert "no channel for sharing" in result.response.content
    gallery = house.env.guild.create_text_channel("gallery")
    owner = house.env.guild.add_member(
        house.env.create_user("owner"),
        roles=[house.env.guild.create_role("admin", permissions=discord.Permissions.all())],
    )
    await owner.slash(house.channel, "settings gallery", channel=gallery)
    await press(house, house.alice, message, "Share")
    shared = gallery.last_message
    assert shared is not None
    assert house.alice.mention in text_of(shared)
    assert all(attachment.is_spoiler() for attachment in shared.attachments)
    other = await press(house, house.bob, message, "Share")
    assert "or a moderator" in other.response.content


async def test_history_pages_through_ones_own_pictures(house: House) -> None:
    for number in range(7):
        await redraw(house, prompt=f"picture {number}", steps=2)
    result = await slash(house, house.alice, "history")
    first = text_of(result.response.message)
    assert "page 1 of 2" in first
    assert [n for n in range(7) if f"picture {n}" in first] == [2, 3, 4, 5, 6]
    assert len(result.response.attachments) == 5
    await press(house, house.alice, result.response.message, "Older")
    second = text_of(result.response.message)
    assert [n for n in range(7) if f"picture {n}" in second] == [0, 1]
    empty = await slash(house, house.bob, "history")
    assert "no pictures here yet" in text_of(empty.response.message)


async def test_show_is_for_those_who_may_see_the_channel(house: House) -> None:
    await redraw(house)
    job = (await jobs(house))[0]
    shown = await slash(house, house.bob, "show", id=job.id)
    assert shown.response.ephemeral
    assert "a fox" in text_of(shown.response.message)
    choices = await house.alice.autocomplete(house.channel, "show", "id", "fox")
    assert [choice["value"] for choice in choices] == [job.id]
    guild, me = house.env.guild, house.bot.user
    assert me is not None
    hidden = guild.create_text_channel(
        "staff",
        overwrites={
            guild.default_role: discord.PermissionOverwrite(view_channel=False),
            me: discord.PermissionOverwrite(view_channel=True),
        },
    )
    role = guild.create_role("staff", permissions=discord.Permissions.all())
    carol = guild.add_member(house.env.create_user("carol"), roles=[role])
    await carol.slash(hidden, "img2img", prompt="ours", image=CAT)
    await house.settled()
    (theirs,) = await house.bot.services.store.jobs_of(carol.id)
    refused = await slash(house, house.bob, "show", id=theirs.id)
    assert "no longer know" in refused.response.content
    seen = await slash(house, carol, "show", id=theirs.id)
    assert "ours" in text_of(seen.response.message)


async def test_redraw_this_asks_what_a_messages_picture_should_become(house: House) -> None:
    files = [CAT, ("dog.png", file_of(photo(128, 128, seed=2)))]
    message = await house.bob.send(house.channel, "look", attachments=files)
    shown: Any = await house.alice.context_menu(house.channel, "Redraw this", message)
    labels = [label["label"] for label in shown.modal["components"]]
    assert labels == [
        *("Prompt", "Negative prompt", "Strength (0.05 to 1)", "Which picture?"),
        "Or a picture of your own",
    ]
    ids = [label["component"]["custom_id"] for label in shown.modal["components"]]
    await house.alice.submit_modal(shown, {ids[0]: "an owl", ids[3]: ["1"]})
    await house.settled()
    assert "dog.png" in text_of(house.last)
    shown = await house.alice.context_menu(house.channel, "Redraw this", message)
    ids = [label["component"]["custom_id"] for label in shown.modal["components"]]
    own = ("own.png", file_of(photo(100, 100, seed=3)))
    await house.alice.submit_modal(shown, {ids[0]: "an owl", ids[3]: ["0"], ids[4]: own})
    await house.settled()
    assert "own.png" in text_of(house.last)


async def test_a_mention_in_reply_to_a_picture_redraws_it(house: House) -> None:
    picture = await redraw(house)
    me = house.bot.user
    assert me is not None
    await house.bob.send(house.channel, f"{me.mention} as a watercolour", reply_to=picture)
    await house.settled()
    (job,) = await house.bot.services.store.jobs_of(house.bob.id)
    assert job.prompt == "as a watercolour"
    assert "as a watercolour" in text_of(house.last)
    assert house.last.attachments


async def test_a_mention_without_a_picture_explains_itself(house: House) -> None:
    me = house.bot.user
    assert me is not None
    await house.bob.send(house.channel, f"{me.mention}")
    assert "mention me" in house.last.content
    await house.bob.send(house.channel, f"{me.mention} as a watercolour")
    assert "no picture here" in house.last.content
