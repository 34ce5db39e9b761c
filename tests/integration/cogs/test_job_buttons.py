"""The job buttons, forms, `/history`, `/show`, sharing and mentions.

Longer than 300 lines: all buttons of one message share one fixture.
"""

from __future__ import annotations

import importlib
import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import discord
import pytest
import pytest_asyncio
from PIL import Image, ImageChops, ImageStat

from bot.images.compose import SHOWN_SIDE, shown, shown_factor
from bot.images.encode import encode_largest
from bot.jobs.job import Job
from tests.support.pictures import file_of, photo
from tests.support.services import ScriptedService
from tests.support.simulated_discord import (
    SimulatedDiscord,
    buttons_of,
    open_simulated_discord,
    text_of,
)

CAT = ("cat.png", file_of(photo(160, 128)))
FINISHED = {
    *(
        "Again",
        "Vary subtle",
        "Vary strong",
        "Edit",
        "Use this",
        "Strengths",
        "Before/after",
        "Depth",
        "Larger",
    ),
    *("Try styles", "⭐", "Share", "Delete"),
}


@pytest_asyncio.fixture
async def discord_sim(tmp_path: Path) -> AsyncIterator[SimulatedDiscord]:
    async with open_simulated_discord(
        tmp_path, ScriptedService(), queue_limit_per_user=50
    ) as opened:
        yield opened


async def redraw(
    discord_sim: SimulatedDiscord, prompt: str = "a fox", **options: Any
) -> discord.Message:
    await discord_sim.alice.slash(
        discord_sim.channel, "img2img", prompt=prompt, image=CAT, **options
    )
    await discord_sim.settled()
    return discord_sim.last


async def jobs(discord_sim: SimulatedDiscord) -> list[Job]:
    return await discord_sim.bot.services.store.jobs_of(discord_sim.alice.id)


async def slash(discord_sim: SimulatedDiscord, user: Any, name: str, **options: Any) -> Any:
    return await user.slash(discord_sim.channel, name, **options)


async def press(
    discord_sim: SimulatedDiscord, user: Any, message: discord.Message, label: str
) -> Any:
    result = await user.click(message, custom_id=buttons_of(message)[label])
    await discord_sim.settled()
    return result


async def picture_in(message: discord.Message, index: int = 0) -> Image.Image:
    return Image.open(io.BytesIO(await message.attachments[index].read()))


async def test_a_finished_picture_has_its_buttons(discord_sim: SimulatedDiscord) -> None:
    assert set(buttons_of(await redraw(discord_sim))) == FINISHED


async def test_again_submits_the_same_request_with_a_new_seed_and_the_parent(
    discord_sim: SimulatedDiscord,
) -> None:
    message = await redraw(
        discord_sim, negative_prompt="rain", strength=0.5, steps=10, guidance=3.0, seed=1
    )
    await press(discord_sim, discord_sim.bob, message, "Again")
    parent = (await jobs(discord_sim))[0]
    (child,) = await discord_sim.bot.services.store.jobs_of(discord_sim.bob.id)
    assert child.parent_id == parent.id
    assert (child.prompt, child.negative_prompt, child.steps) == ("a fox", "rain", 10)
    assert (child.variants[0].strength, child.guidance_scale) == (0.5, 3.0)
    assert child.variants[0].seed != 1
    assert child.source == parent.source
    assert discord_sim.last.id != message.id


async def test_a_stored_picture_that_fits_the_model_is_not_decoded_again(
    discord_sim: SimulatedDiscord, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = await redraw(discord_sim)
    monkeypatch.setattr(discord_sim.bot.services.intake, "from_bytes", None)
    await press(discord_sim, discord_sim.alice, message, "Again")
    child, parent = await jobs(discord_sim)
    assert child.source == parent.source


async def test_vary_redraws_the_result_at_low_strength(
    discord_sim: SimulatedDiscord,
) -> None:
    message = await redraw(discord_sim, strength=0.9)
    await press(discord_sim, discord_sim.alice, message, "Vary subtle")
    child, parent = await jobs(discord_sim)
    assert child.source == parent.variants[0].result
    assert child.variants[0].strength < 0.5


async def test_edit_opens_a_form_with_the_settings_and_submits_the_changed_ones(
    discord_sim: SimulatedDiscord,
) -> None:
    message = await redraw(discord_sim, negative_prompt="rain", strength=0.5, guidance=3.0, seed=9)
    shown = await press(discord_sim, discord_sim.alice, message, "Edit")
    defaults = [label["component"].get("value") for label in shown.modal["components"]]
    # The fourth field is the choice of the part.
    assert defaults == ["a fox", "rain", "0.5", None, "9"]
    ids = [label["component"]["custom_id"] for label in shown.modal["components"]]
    values = dict(zip(ids, ["an owl", "", "0,8", ["background"], "10"], strict=True))
    await discord_sim.alice.submit_modal(shown, values)
    await discord_sim.settled()
    child, parent = await jobs(discord_sim)
    assert (child.prompt, child.negative_prompt, child.guidance_scale) == ("an owl", "", 3.0)
    assert (child.part, parent.part) == ("background", "everything")
    assert (child.variants[0].strength, child.variants[0].seed) == (0.8, 10)
    assert child.parent_id == parent.id


async def test_a_wrong_number_in_a_form_is_refused(discord_sim: SimulatedDiscord) -> None:
    message = await redraw(discord_sim)
    shown = await press(discord_sim, discord_sim.alice, message, "Edit")
    ids = [label["component"]["custom_id"] for label in shown.modal["components"]]
    values = dict(zip(ids, ["an owl", "", "much", ["everything"], "10"], strict=True))
    result: Any = await discord_sim.alice.submit_modal(shown, values)
    assert result.response.ephemeral
    assert "must be a number from 0.05 to 1" in result.response.content
    assert len(await jobs(discord_sim)) == 1


async def test_use_this_makes_the_result_the_source_of_a_new_request(
    discord_sim: SimulatedDiscord,
) -> None:
    message = await redraw(discord_sim)
    shown = await press(discord_sim, discord_sim.bob, message, "Use this")
    ids = [label["component"]["custom_id"] for label in shown.modal["components"]]
    await discord_sim.bob.submit_modal(shown, {ids[0]: "as a statue"})
    await discord_sim.settled()
    parent = (await jobs(discord_sim))[0]
    (child,) = await discord_sim.bot.services.store.jobs_of(discord_sim.bob.id)
    assert child.source == parent.variants[0].result
    assert message.jump_url in child.source_name


async def test_strengths_is_one_labelled_sheet_of_the_same_seed(
    discord_sim: SimulatedDiscord,
) -> None:
    message = await redraw(discord_sim, seed=5)
    await press(discord_sim, discord_sim.alice, message, "Strengths")
    child = (await jobs(discord_sim))[0]
    assert [variant.strength for variant in child.variants] == [0.1, 0.4, 0.7, 1.0]
    assert {variant.seed for variant in child.variants} == {5}
    assert len(discord_sim.last.attachments) == 1
    sheet = await picture_in(discord_sim.last)
    assert sheet.width > 2 * child.width
    assert sheet.height > 2 * child.height


async def test_compare_shows_the_source_and_the_result_side_by_side(
    discord_sim: SimulatedDiscord,
) -> None:
    message = await redraw(discord_sim)
    result = await press(discord_sim, discord_sim.bob, message, "Before/after")
    assert result.response.ephemeral
    sheet = Image.open(io.BytesIO(await result.response.attachments[0].read()))
    job = (await jobs(discord_sim))[0]
    source = await discord_sim.bot.services.store.pictures.get(job.sources[0])
    before = shown(source)
    left = sheet.crop((8, 8, 8 + before.width, 8 + before.height))
    assert left.tobytes() == before.pixels


async def test_depth_shows_the_depth_map(discord_sim: SimulatedDiscord) -> None:
    message = await redraw(discord_sim)
    result = await press(discord_sim, discord_sim.bob, message, "Depth")
    posted = Image.open(io.BytesIO(await result.response.attachments[0].read())).convert("L")
    job = (await jobs(discord_sim))[0]
    source = await discord_sim.bot.services.store.pictures.get(job.sources[0])
    # The depth of the scripted engine is the red channel of the source; it is posted enlarged.
    size = (job.width, job.height)
    red = Image.frombytes("RGB", size, source.pixels).getchannel("R")
    assert max(posted.size) >= SHOWN_SIDE
    far = ImageChops.difference(posted.resize(size, Image.Resampling.BOX), red)
    assert ImageStat.Stat(far).mean[0] < 4


async def test_larger_is_twice_the_size_and_says_how(discord_sim: SimulatedDiscord) -> None:
    message = await redraw(discord_sim)
    result = await press(discord_sim, discord_sim.alice, message, "Larger")
    job = (await jobs(discord_sim))[0]
    large = Image.open(io.BytesIO(await result.response.attachments[0].read()))
    factor = 2 * shown_factor(job.width, job.height)
    assert large.size == (factor * job.width, factor * job.height)
    text = text_of(result.response.message)
    assert "SPAN" in text
    assert "**a fox**" in text
    assert discord_sim.alice.mention in text
    assert set(buttons_of(result.response.message)) == {
        *("4 × larger", "Again", "Edit", "Use this", "⭐", "Remove"),
    }
    result = await press(discord_sim, discord_sim.alice, result.response.message, "4 × larger")
    large = Image.open(io.BytesIO(await result.response.attachments[0].read()))
    assert large.size == (2 * factor * job.width, 2 * factor * job.height)
    assert "4 × larger" not in buttons_of(result.response.message)


async def test_larger_says_when_it_used_lanczos_or_a_smaller_size(
    discord_sim: SimulatedDiscord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.images.upscale._network", lambda: None)
    message = await redraw(discord_sim)
    result = await press(discord_sim, discord_sim.alice, message, "Larger")
    assert "Lanczos" in text_of(result.response.message)
    monkeypatch.setattr(
        importlib.import_module("cogs.img2img._uploads"),
        "encode_largest",
        lambda picture, **_: encode_largest(picture, limit_bytes=4_000),
    )
    result = await press(discord_sim, discord_sim.alice, message, "Larger")
    data = await result.response.attachments[0].read()
    assert len(data) <= 4_000
    job = (await jobs(discord_sim))[0]
    factor = 2 * shown_factor(job.width, job.height)
    assert Image.open(io.BytesIO(data)).width < factor * job.width
    assert "the largest size that fits" in text_of(result.response.message)


async def test_delete_is_for_the_owner_and_moderators(discord_sim: SimulatedDiscord) -> None:
    message = await redraw(discord_sim)
    result = await press(discord_sim, discord_sim.bob, message, "Delete")
    assert "or a moderator" in result.response.content
    await press(discord_sim, discord_sim.alice, message, "Delete")
    assert discord_sim.channel.last_message is None
    assert await jobs(discord_sim) == []


async def test_a_moderator_may_delete(discord_sim: SimulatedDiscord) -> None:
    message = await redraw(discord_sim)
    role = discord_sim.env.guild.create_role(
        "mods", permissions=discord.Permissions(manage_messages=True, view_channel=True)
    )
    mod = discord_sim.env.guild.add_member(discord_sim.env.create_user("mod"), roles=[role])
    await press(discord_sim, mod, message, "Delete")
    assert await jobs(discord_sim) == []


async def test_every_button_of_an_erased_job_is_refused(discord_sim: SimulatedDiscord) -> None:
    message = await redraw(discord_sim)
    await discord_sim.bot.services.store.erase_user(discord_sim.alice.id)
    for label in FINISHED - {"Delete"}:
        result = await press(discord_sim, discord_sim.alice, message, label)
        assert result.response.ephemeral
        assert "no longer know this picture" in result.response.content


async def test_buttons_work_after_a_restart(discord_sim: SimulatedDiscord) -> None:
    message = await redraw(discord_sim)
    await discord_sim.restart(ScriptedService())
    await press(discord_sim, discord_sim.bob, message, "Again")
    (parent,) = await jobs(discord_sim)
    (child,) = await discord_sim.bot.services.store.jobs_of(discord_sim.bob.id)
    assert child.parent_id == parent.id
    assert discord_sim.last.attachments


async def test_several_pictures_come_as_one_message_and_each_can_be_used(
    discord_sim: SimulatedDiscord,
) -> None:
    message = await redraw(discord_sim, count=3, seed=100)
    assert len(message.attachments) == 3
    job = (await jobs(discord_sim))[0]
    assert [variant.seed for variant in job.variants] == [100, 101, 102]
    await press(discord_sim, discord_sim.alice, message, "2")
    message = discord_sim.last
    assert len(message.attachments) == 3
    await press(discord_sim, discord_sim.alice, message, "Vary subtle")
    assert (await jobs(discord_sim))[0].source == job.variants[1].result
    shown = await press(discord_sim, discord_sim.alice, message, "Edit")
    assert shown.modal["components"][4]["component"]["value"] == "101"
    await press(discord_sim, discord_sim.bob, message, "3")
    message = next(m for m in discord_sim.channel.history() if m.id == message.id)
    await press(discord_sim, discord_sim.alice, message, "Vary subtle")
    assert (await jobs(discord_sim))[0].source == job.variants[2].result


async def test_the_first_of_several_pictures_is_selected_at_the_beginning(
    discord_sim: SimulatedDiscord,
) -> None:
    message = await redraw(discord_sim, count=2)
    styles = {
        item.label: item.style
        for item in discord.ui.LayoutView.from_message(message).walk_children()
        if isinstance(item, discord.ui.Button)
    }
    assert (styles["1"], styles["2"]) == (
        discord.ButtonStyle.success,
        discord.ButtonStyle.secondary,
    )
    await press(discord_sim, discord_sim.alice, message, "Vary subtle")
    child, parent = await jobs(discord_sim)
    assert child.source == parent.variants[0].result
    await press(discord_sim, discord_sim.bob, message, "2")
    message = next(m for m in discord_sim.channel.history() if m.id == message.id)
    styles = {
        item.label: item.style
        for item in discord.ui.LayoutView.from_message(message).walk_children()
        if isinstance(item, discord.ui.Button)
    }
    assert (styles["1"], styles["2"]) == (
        discord.ButtonStyle.secondary,
        discord.ButtonStyle.success,
    )


async def test_again_makes_as_many_pictures_with_further_seeds(
    discord_sim: SimulatedDiscord,
) -> None:
    message = await redraw(discord_sim, count=3, seed=100)
    await press(discord_sim, discord_sim.alice, message, "Again")
    child, _ = await jobs(discord_sim)
    seeds = [variant.seed for variant in child.variants]
    assert seeds == [(seeds[0] + number) % 2**32 for number in range(3)]
    assert seeds[0] != 100
    assert len(discord_sim.last.attachments) == 3


async def test_a_picture_of_a_sheet_is_selected_by_its_strength(
    discord_sim: SimulatedDiscord,
) -> None:
    message = await redraw(discord_sim, seed=5)
    await press(discord_sim, discord_sim.alice, message, "Strengths")
    sheet = discord_sim.last
    await press(discord_sim, discord_sim.alice, sheet, "0.7")
    result = await press(discord_sim, discord_sim.alice, discord_sim.last, "Larger")
    assert result.response.attachments
    await press(discord_sim, discord_sim.alice, sheet, "0.7")
    sheet = next(m for m in discord_sim.channel.history() if m.id == sheet.id)
    await press(discord_sim, discord_sim.alice, sheet, "Use this")
    shown = await press(discord_sim, discord_sim.alice, sheet, "Edit")
    assert shown.modal["components"][2]["component"]["value"] == "0.7"


async def test_a_style_wraps_the_prompt_and_suggests_a_strength(
    discord_sim: SimulatedDiscord,
) -> None:
    choices = await discord_sim.alice.autocomplete(discord_sim.channel, "img2img", "style", "pix")
    assert [choice["name"] for choice in choices] == ["Pixel art"]
    await redraw(discord_sim, style="Pixel art", negative_prompt="rain")
    job = (await jobs(discord_sim))[0]
    assert job.prompt.startswith("pixel art of a fox")
    assert (job.shown_prompt, job.shown_negative_prompt) == ("a fox", "rain")
    assert job.negative_prompt.startswith("rain, photo")
    assert job.variants[0].strength == 0.8
    result = await discord_sim.alice.slash(
        discord_sim.channel, "img2img", prompt="x", image=CAT, style="Cubism"
    )
    assert result.response is not None
    assert 'no style "Cubism"' in str(result.response.content)


async def test_edit_and_again_of_a_styled_picture_use_the_words_of_the_user(
    discord_sim: SimulatedDiscord,
) -> None:
    message = await redraw(discord_sim, style="Pixel art", negative_prompt="rain", seed=3)
    assert "style: Pixel art" in text_of(message)
    assert "pixel art of" not in text_of(message)
    shown = await press(discord_sim, discord_sim.alice, message, "Edit")
    defaults = [label["component"].get("value") for label in shown.modal["components"]]
    assert defaults[:2] == ["a fox", "rain"]
    await press(discord_sim, discord_sim.alice, message, "Again")
    child, parent = await jobs(discord_sim)
    assert (child.prompt, child.negative_prompt) == (parent.prompt, parent.negative_prompt)
    assert child.prompt.count("pixel art of") == 1


async def test_a_private_picture_is_ephemeral(discord_sim: SimulatedDiscord) -> None:
    result = await slash(
        discord_sim, discord_sim.alice, "img2img", prompt="secret", image=CAT, private=True
    )
    await discord_sim.settled()
    assert result.response.ephemeral
    assert "secret" in text_of(result.response.message)
    assert result.response.attachments
    gallery = discord_sim.env.guild.create_text_channel("gallery")
    await discord_sim.bot.services.store.guild_settings.set_gallery(
        discord_sim.env.guild.id, gallery.id
    )
    await press(discord_sim, discord_sim.alice, result.response.message, "Share")
    assert gallery.last_message is not None
    assert "secret" in text_of(gallery.last_message)


async def test_sharing_needs_a_gallery_gives_credit_and_keeps_a_spoiler(
    discord_sim: SimulatedDiscord,
) -> None:
    image = ("SPOILER_cat.png", CAT[1])
    await discord_sim.alice.slash(discord_sim.channel, "img2img", prompt="a fox", image=image)
    await discord_sim.settled()
    message = discord_sim.last
    result = await press(discord_sim, discord_sim.alice, message, "Share")
    assert "no channel for sharing" in result.response.content
    gallery = discord_sim.env.guild.create_text_channel("gallery")
    owner = discord_sim.env.guild.add_member(
        discord_sim.env.create_user("owner"),
        roles=[discord_sim.env.guild.create_role("admin", permissions=discord.Permissions.all())],
    )
    await owner.slash(discord_sim.channel, "settings gallery", channel=gallery)
    await press(discord_sim, discord_sim.alice, message, "Share")
    shared = gallery.last_message
    assert shared is not None
    assert discord_sim.alice.mention in text_of(shared)
    assert all(attachment.is_spoiler() for attachment in shared.attachments)
    other = await press(discord_sim, discord_sim.bob, message, "Share")
    assert "or a moderator" in other.response.content


async def test_history_pages_through_the_users_own_pictures(discord_sim: SimulatedDiscord) -> None:
    for number in range(7):
        await redraw(discord_sim, prompt=f"picture {number}", steps=2)
    result = await slash(discord_sim, discord_sim.alice, "history")
    first = text_of(result.response.message)
    assert "page 1 of 2" in first
    assert [n for n in range(7) if f"picture {n}" in first] == [2, 3, 4, 5, 6]
    assert len(result.response.attachments) == 5
    await press(discord_sim, discord_sim.alice, result.response.message, "Older")
    second = text_of(result.response.message)
    assert [n for n in range(7) if f"picture {n}" in second] == [0, 1]
    empty = await slash(discord_sim, discord_sim.bob, "history")
    assert "no pictures here yet" in text_of(empty.response.message)


async def test_a_page_of_the_history_is_acknowledged_before_it_is_drawn(
    discord_sim: SimulatedDiscord, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(6):
        await redraw(discord_sim, prompt=f"picture {number}", steps=2)
    result = await slash(discord_sim, discord_sim.alice, "history")
    acknowledged = []
    # Not imported above: discord.py imports the modules of an extension again at each load.
    module = importlib.import_module("cogs.history._page")
    draw_page = module.draw_page

    async def watched(interaction: Any, shown: Any, page: int) -> Any:
        acknowledged.append(interaction.response.is_done())
        return await draw_page(interaction, shown, page)

    monkeypatch.setattr(module, "draw_page", watched)
    await press(discord_sim, discord_sim.alice, result.response.message, "Older")
    assert acknowledged == [True]


async def test_show_is_for_those_who_may_see_the_channel(discord_sim: SimulatedDiscord) -> None:
    await redraw(discord_sim)
    job = (await jobs(discord_sim))[0]
    shown = await slash(discord_sim, discord_sim.bob, "show", id=job.id)
    assert shown.response.ephemeral
    assert "a fox" in text_of(shown.response.message)
    choices = await discord_sim.alice.autocomplete(discord_sim.channel, "show", "id", "fox")
    assert [choice["value"] for choice in choices] == [job.id]
    guild, me = discord_sim.env.guild, discord_sim.bot.user
    assert me is not None
    hidden = guild.create_text_channel(
        "staff",
        overwrites={
            guild.default_role: discord.PermissionOverwrite(view_channel=False),
            me: discord.PermissionOverwrite(view_channel=True),
        },
    )
    role = guild.create_role("staff", permissions=discord.Permissions.all())
    carol = guild.add_member(discord_sim.env.create_user("carol"), roles=[role])
    await carol.slash(hidden, "img2img", prompt="ours", image=CAT)
    await discord_sim.settled()
    (theirs,) = await discord_sim.bot.services.store.jobs_of(carol.id)
    refused = await slash(discord_sim, discord_sim.bob, "show", id=theirs.id)
    assert "no longer know" in refused.response.content
    seen = await slash(discord_sim, carol, "show", id=theirs.id)
    assert "ours" in text_of(seen.response.message)


async def test_redraw_this_opens_a_form_for_the_pictures_of_a_message(
    discord_sim: SimulatedDiscord,
) -> None:
    files = [CAT, ("dog.png", file_of(photo(128, 128, seed=2)))]
    message = await discord_sim.bob.send(discord_sim.channel, "look", attachments=files)
    shown: Any = await discord_sim.alice.context_menu(discord_sim.channel, "Redraw this", message)
    labels = [label["label"] for label in shown.modal["components"]]
    assert labels == [
        *("Prompt", "Negative prompt", "Strength (0.05 to 1)", "Which picture?"),
        "Or a picture of your own",
    ]
    ids = [label["component"]["custom_id"] for label in shown.modal["components"]]
    await discord_sim.alice.submit_modal(shown, {ids[0]: "an owl", ids[3]: ["1"]})
    await discord_sim.settled()
    assert "dog.png" in text_of(discord_sim.last)
    shown = await discord_sim.alice.context_menu(discord_sim.channel, "Redraw this", message)
    ids = [label["component"]["custom_id"] for label in shown.modal["components"]]
    own = ("own.png", file_of(photo(100, 100, seed=3)))
    await discord_sim.alice.submit_modal(shown, {ids[0]: "an owl", ids[3]: ["0"], ids[4]: own})
    await discord_sim.settled()
    assert "own.png" in text_of(discord_sim.last)


async def test_a_mention_in_reply_to_a_picture_redraws_it(discord_sim: SimulatedDiscord) -> None:
    picture = await redraw(discord_sim)
    me = discord_sim.bot.user
    assert me is not None
    await discord_sim.bob.send(
        discord_sim.channel, f"{me.mention} as a watercolour", reply_to=picture
    )
    await discord_sim.settled()
    (job,) = await discord_sim.bot.services.store.jobs_of(discord_sim.bob.id)
    assert job.prompt == "as a watercolour"
    assert "as a watercolour" in text_of(discord_sim.last)
    assert discord_sim.last.attachments


async def test_a_mention_without_a_picture_is_answered_with_an_explanation(
    discord_sim: SimulatedDiscord,
) -> None:
    me = discord_sim.bot.user
    assert me is not None
    await discord_sim.bob.send(discord_sim.channel, f"{me.mention}")
    assert "mention me" in discord_sim.last.content
    await discord_sim.bob.send(discord_sim.channel, f"{me.mention} as a watercolour")
    assert "found no picture" in discord_sim.last.content
