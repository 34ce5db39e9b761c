"""No user sees, shares or deletes through the cogs what the access policy does not allow.

Longer than 300 lines: the access rules of all buttons and commands share one server.
"""

from __future__ import annotations

import datetime
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import discord
import pytest
import pytest_asyncio
from simcord.actors import MemberActor

from bot.jobs.job import JobState
from cogs.shared import job_messages
from tests.support.services import ScriptedService
from tests.support.simulated_discord import (
    SimulatedDiscord,
    buttons_of,
    open_simulated_discord,
    text_of,
)
from tests.support.simulated_users import (
    CAT,
    make_age_restricted,
    newest_job,
    press,
    private_thread,
    redraw,
    reply_of,
    set_gallery,
    slash,
)

NOTHING_TO_CANCEL = "There is no waiting or running picture to cancel."


@pytest_asyncio.fixture
async def sim(tmp_path: Path) -> AsyncIterator[SimulatedDiscord]:
    async with open_simulated_discord(
        tmp_path, ScriptedService(), queue_limit_per_user=50
    ) as opened:
        yield opened


def moderator_of_one_channel(sim: SimulatedDiscord) -> tuple[MemberActor, Any]:
    """A member with Manage Messages in a channel of their own."""
    guild = sim.env.guild
    mod = guild.add_member(sim.env.create_user("mod"))
    channel = guild.create_text_channel(
        "theirs",
        overwrites={mod: discord.PermissionOverwrite(manage_messages=True)},
    )
    return mod, channel


# 1. Sharing.


async def test_a_shared_private_result_has_only_buttons_to_report_and_remove_it(
    sim: SimulatedDiscord,
) -> None:
    gallery = await set_gallery(sim)
    result = await slash(
        sim.alice, sim.channel, "img2img", prompt="secret", image=CAT, private=True
    )
    await sim.settled()
    await press(sim, sim.alice, result.response.message, "Share")
    shared = gallery.last_message
    assert shared is not None
    assert set(buttons_of(shared)) == {"Remove", "Report"}
    assert shared.attachments
    text = text_of(shared)
    assert sim.alice.mention in text
    for hidden in ("cat.png", "seed", "strength", "discord.com/channels"):
        assert hidden not in text


async def test_the_files_of_a_shared_result_hold_no_settings(sim: SimulatedDiscord) -> None:
    gallery = await set_gallery(sim)
    await redraw(sim, negative_prompt="hailstones")
    assert b"hailstones" in await sim.last.attachments[0].read()
    await press(sim, sim.alice, sim.last, "Share")
    assert gallery.last_message is not None
    assert b"hailstones" not in await gallery.last_message.attachments[0].read()


async def test_a_result_is_shared_once_and_again_after_it_was_removed(
    sim: SimulatedDiscord,
) -> None:
    gallery = await set_gallery(sim)
    await redraw(sim)
    message = sim.last
    await press(sim, sim.alice, message, "Share")
    again = await press(sim, sim.alice, message, "Share")
    assert "already shared" in reply_of(again)
    assert len(gallery.history()) == 1
    assert gallery.last_message is not None
    await press(sim, sim.alice, gallery.last_message, "Remove")
    assert gallery.history() == []
    await press(sim, sim.alice, message, "Share")
    assert len(gallery.history()) == 1


async def test_only_the_owner_and_moderators_of_the_gallery_remove_a_shared_result(
    sim: SimulatedDiscord,
) -> None:
    gallery = await set_gallery(sim)
    await redraw(sim)
    await press(sim, sim.alice, sim.last, "Share")
    shared = gallery.last_message
    assert shared is not None
    await press(sim, sim.bob, shared, "Remove")
    assert gallery.last_message is not None
    await sim.bot.services.store.erase_user(sim.alice.id)
    await press(sim, sim.alice, shared, "Remove")
    assert gallery.last_message is None, "the owner can remove it after the retention time"


async def test_a_moderator_cannot_share_the_result_of_another_user(sim: SimulatedDiscord) -> None:
    gallery = await set_gallery(sim)
    role = sim.env.guild.create_role("mods", permissions=discord.Permissions.all())
    mod = sim.env.guild.add_member(sim.env.create_user("mod"), roles=[role])
    await redraw(sim)
    result = await press(sim, mod, sim.last, "Share")
    assert "Only the user who asked" in reply_of(result)
    assert gallery.last_message is None


# 2. Private threads.


async def test_show_does_not_reveal_a_job_of_a_private_thread_to_others(
    sim: SimulatedDiscord,
) -> None:
    thread = await private_thread(sim, sim.alice)
    job = await redraw(sim, sim.alice, thread, prompt="inside")
    refused = await slash(sim.bob, sim.channel, "show", id=job.id)
    assert "no longer know" in reply_of(refused)
    seen = await slash(sim.alice, sim.channel, "show", id=job.id)
    assert "inside" in text_of(seen.response.message)


async def test_show_reveals_a_job_of_a_private_thread_to_its_members(
    sim: SimulatedDiscord,
) -> None:
    thread = await private_thread(sim, sim.alice, sim.bob)
    job = await redraw(sim, sim.alice, thread, prompt="inside")
    seen = await slash(sim.bob, sim.channel, "show", id=job.id)
    assert "inside" in text_of(seen.response.message)


async def test_a_message_link_into_a_private_thread_is_refused_to_others(
    sim: SimulatedDiscord,
) -> None:
    thread = await private_thread(sim, sim.alice)
    await redraw(sim, sim.alice, thread, prompt="inside")
    inside = thread.last_message
    assert inside is not None
    result = await slash(sim.bob, sim.channel, "img2img", prompt="mine", url=inside.jump_url)
    assert "cannot read that message" in reply_of(result)
    await redraw(sim, sim.alice, prompt="mine", url=inside.jump_url)


async def test_a_source_from_a_hidden_channel_is_shown_to_nobody_else(
    sim: SimulatedDiscord,
) -> None:
    thread = await private_thread(sim, sim.alice)
    await redraw(sim, sim.alice, thread, prompt="inside")
    inside = thread.last_message
    assert inside is not None
    await redraw(sim, sim.alice, prompt="outside", url=inside.jump_url)
    public = sim.last
    assert "redraw-" not in text_of(public), "the file's name is not told in another channel"
    for label in ("Before/after", "Depth", "Again", "Edit", "Strengths"):
        result = await press(sim, sim.bob, public, label)
        assert "no longer know" in reply_of(result), label
    shown = await press(sim, sim.alice, public, "Before/after")
    assert shown.response.attachments


async def test_again_in_another_channel_does_not_open_the_source_to_its_readers(
    sim: SimulatedDiscord,
) -> None:
    thread = await private_thread(sim, sim.alice)
    job = await redraw(sim, sim.alice, thread)
    shown = await slash(sim.alice, sim.channel, "show", id=job.id)
    await press(sim, sim.alice, shown.response.message, "Again")
    public = sim.last
    assert "cat.png" not in text_of(public)
    assert "an earlier picture" in text_of(public)
    for label in ("Before/after", "Again"):
        assert "no longer know" in reply_of(await press(sim, sim.bob, public, label)), label
    inside = thread.last_message
    assert inside is not None
    await press(sim, sim.alice, inside, "Again")
    newest = thread.last_message
    assert newest is not None
    assert "cat.png" in text_of(newest)


async def test_the_owners_history_needs_no_request_for_permissions(sim: SimulatedDiscord) -> None:
    thread = await private_thread(sim, sim.alice)
    await redraw(sim, sim.alice, thread)
    await redraw(sim, sim.alice, sim.env.guild.create_text_channel("other"))
    before = len(sim.env.http_requests)
    await slash(sim.alice, sim.channel, "history")
    paths = [entry.path for entry in sim.env.http_requests[before:]]
    assert not [path for path in paths if "members" in path]


# 3. Moderators.


async def test_manage_messages_in_one_channel_gives_no_power_over_another(
    sim: SimulatedDiscord,
) -> None:
    mod, theirs = moderator_of_one_channel(sim)
    job = await redraw(sim)
    message = sim.last
    refused = await press(sim, mod, message, "Delete")
    assert "or a moderator" in reply_of(refused)
    shown = await slash(mod, theirs, "show", id=job.id)
    await press(sim, mod, shown.response.message, "Delete")
    assert sim.channel.last_message is not None
    assert await sim.bot.services.store.job(job.id) is not None


async def test_cancel_everyone_ends_the_jobs_of_moderated_channels_only(tmp_path: Path) -> None:
    service = ScriptedService()
    service.gate.clear()
    async with open_simulated_discord(tmp_path, service) as sim:
        mod, theirs = moderator_of_one_channel(sim)
        await sim.alice.slash(sim.channel, "img2img", prompt="fox", image=CAT)
        await sim.bob.slash(theirs, "img2img", prompt="owl", image=CAT)
        result = await slash(mod, theirs, "cancel", everyone=True)
        assert reply_of(result) == "1 picture cancelled."
        service.gate.set()
        await sim.settled()
        assert (await newest_job(sim, sim.alice)).state is JobState.DELIVERED
        assert (await newest_job(sim, sim.bob)).state is JobState.CANCELLED


async def test_a_moderator_does_not_cancel_private_jobs(tmp_path: Path) -> None:
    service = ScriptedService()
    service.gate.clear()
    async with open_simulated_discord(tmp_path, service) as sim:
        mod, theirs = moderator_of_one_channel(sim)
        await sim.bob.slash(theirs, "img2img", prompt="owl", image=CAT, private=True)
        assert reply_of(await slash(mod, theirs, "cancel", everyone=True)) == NOTHING_TO_CANCEL
        service.gate.set()
        await sim.settled()


# 4. Delete.


async def test_delete_on_a_copy_deletes_the_message_and_the_gallery_copy(
    sim: SimulatedDiscord,
) -> None:
    gallery = await set_gallery(sim)
    job = await redraw(sim)
    await press(sim, sim.alice, sim.last, "Share")
    shown = await slash(sim.alice, gallery, "show", id=job.id)
    await press(sim, sim.alice, shown.response.message, "Delete")
    assert sim.channel.last_message is None
    assert gallery.last_message is None
    assert await sim.bot.services.store.job(job.id) is None


async def test_the_owner_deletes_the_message_after_the_retention_time(
    sim: SimulatedDiscord,
) -> None:
    await redraw(sim)
    message = sim.last
    await sim.bot.services.store.erase_user(sim.alice.id)
    refused = await press(sim, sim.bob, message, "Delete")
    assert "no longer know" in reply_of(refused)
    await press(sim, sim.alice, message, "Delete")
    assert sim.channel.last_message is None


async def test_the_owner_deletes_a_message_whose_button_has_no_owner_in_its_id(
    sim: SimulatedDiscord,
) -> None:
    """Messages of earlier versions: the owner is the user whose command the message answers."""
    job = await redraw(sim)
    message = sim.last
    custom_id = buttons_of(message)["Delete"]
    assert custom_id == f"redraw:delete:{job.id}:1:{sim.alice.id}"
    await sim.bot.services.store.erase_user(sim.alice.id)
    view = discord.ui.LayoutView(timeout=None)
    row: discord.ui.ActionRow[discord.ui.LayoutView] = discord.ui.ActionRow()
    row.add_item(discord.ui.Button(label="Delete", custom_id=f"redraw:delete:{job.id}:0"))
    view.add_item(row)
    channel = sim.bot.get_channel(sim.channel.id)
    assert isinstance(channel, discord.TextChannel)
    await channel.get_partial_message(message.id).edit(view=view, attachments=[])
    await press(sim, sim.bob, sim.last, "Delete")
    assert sim.channel.last_message is not None
    await press(sim, sim.alice, sim.last, "Delete")
    assert sim.channel.last_message is None


async def test_delete_finds_an_answer_that_was_sent_as_a_new_message(
    sim: SimulatedDiscord, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reply was gone when the job was done, so the answer is another message."""
    # The simulated Discord has a clock of its own, which may be years away.
    monkeypatch.setattr(job_messages, "SEARCH_WINDOW", datetime.timedelta(days=3650))
    service = sim.bot.services.inference
    assert isinstance(service, ScriptedService)
    service.gate.clear()
    await sim.alice.slash(sim.channel, "img2img", prompt="a fox", image=CAT)
    await sim.shown("Cancel")
    bots = sim.bot.get_channel(sim.channel.id)
    assert isinstance(bots, discord.TextChannel)
    await bots.get_partial_message(sim.last.id).delete()
    service.gate.set()
    await sim.settled()
    job = await newest_job(sim, sim.alice)
    assert job.post_channel_id == sim.channel.id
    assert sim.last.attachments
    shown = await slash(sim.alice, sim.channel, "show", id=job.id)
    await press(sim, sim.alice, shown.response.message, "Delete")
    assert sim.channel.last_message is None


async def test_a_message_that_cannot_be_deleted_is_told(
    sim: SimulatedDiscord, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await redraw(sim)
    other = sim.env.guild.create_text_channel("other")
    shown = await slash(sim.alice, other, "show", id=job.id)
    forbidden = discord.Forbidden(SimpleNamespace(status=403, reason=""), "Missing Access")  # type: ignore[arg-type]

    async def delete(*_: object, **__: object) -> None:
        raise forbidden

    monkeypatch.setattr(discord.PartialMessage, "delete", delete)
    result = await press(sim, sim.alice, shown.response.message, "Delete")
    assert "may not delete the message" in result.followups[-1].content
    assert await sim.bot.services.store.job(job.id) is None


# 5. Spoilers.


def spoilers_of_media(components: Iterable[Any]) -> Iterator[bool]:
    """Whether each picture in components is a spoiler. A private reply has them as JSON."""
    for component in components:
        data = component if isinstance(component, dict) else component.to_dict()
        shown = [*data.get("items", ()), *([data["accessory"]] if "accessory" in data else ())]
        yield from (item["spoiler"] for item in shown if "media" in item)
        yield from spoilers_of_media(data.get("components", ()))


async def test_a_spoiler_stays_one_in_everything_that_is_made_from_it(
    sim: SimulatedDiscord,
) -> None:
    gallery = await set_gallery(sim)
    await sim.alice.slash(sim.channel, "img2img", prompt="a fox", image=("SPOILER_cat.png", CAT[1]))
    await sim.settled()
    message = sim.last
    assert "SPOILER" not in text_of(message)
    assert all(attachment.is_spoiler() for attachment in message.attachments)
    for label in ("Before/after", "Depth", "Larger"):
        result = await press(sim, sim.alice, message, label)
        shown = result.response.attachments
        assert [attachment.is_spoiler() for attachment in shown] == [True], label
    history = await slash(sim.alice, sim.channel, "history")
    assert all(attachment.is_spoiler() for attachment in history.response.attachments)
    for shown in (message, history.response):
        assert set(spoilers_of_media(shown.components)) == {True}
    await press(sim, sim.alice, message, "Share")
    assert gallery.last_message is not None
    assert all(attachment.is_spoiler() for attachment in gallery.last_message.attachments)
    for label in ("Again", "Vary subtle"):
        await press(sim, sim.bob, message, label)
        assert (await newest_job(sim, sim.bob)).spoiler, label


# 6. Age-restricted channels.


async def test_a_result_of_an_age_restricted_channel_is_not_used_in_an_ordinary_one(
    sim: SimulatedDiscord,
) -> None:
    gallery = await set_gallery(sim)
    adults = sim.env.guild.create_text_channel("adults")
    make_age_restricted(sim, adults)
    job = await redraw(sim, sim.alice, adults, prompt="for adults")
    posted = adults.last_message
    assert posted is not None
    shared = await press(sim, sim.alice, posted, "Share")
    assert "age-restricted" in reply_of(shared)
    assert gallery.last_message is None
    shown = await slash(sim.alice, sim.channel, "show", id=job.id)
    assert "age-restricted" in reply_of(shown)
    linked = await slash(sim.bob, sim.channel, "img2img", prompt="x", url=posted.jump_url)
    assert "age-restricted" in reply_of(linked)
    for host in ("cdn.discordapp.com", "media.discordapp.net"):
        file = f"https://{host}/attachments/{adults.id}/{posted.id}/a.png?ex=1&is=1&hm=1"
        linked = await slash(sim.bob, sim.channel, "img2img", prompt="x", url=file)
        assert "age-restricted" in reply_of(linked)
    history = await slash(sim.alice, sim.channel, "history")
    assert not history.response.attachments
    use = await press(sim, sim.alice, history.response.message, "Use this")
    assert "age-restricted" in reply_of(use)
    await press(sim, sim.bob, posted, "Again")
    assert (await newest_job(sim, sim.bob)).age_restricted
    make_age_restricted(sim, gallery)
    await press(sim, sim.alice, posted, "Share")
    assert gallery.last_message is not None


async def test_a_result_stays_restricted_after_its_channel_was_opened(
    sim: SimulatedDiscord,
) -> None:
    adults = sim.env.guild.create_text_channel("adults")
    make_age_restricted(sim, adults)
    job = await redraw(sim, sim.alice, adults)
    seen = sim.bot.get_channel(adults.id)
    assert isinstance(seen, discord.TextChannel)
    seen.nsfw = False
    shown = await slash(sim.bob, sim.channel, "show", id=job.id)
    assert "age-restricted" in reply_of(shown)


# 9. Larger.


@pytest.mark.parametrize(("user", "ephemeral"), [("alice", False), ("bob", True)])
async def test_larger_is_posted_for_the_owner_only(
    sim: SimulatedDiscord, user: str, ephemeral: bool
) -> None:
    await redraw(sim)
    result = await press(sim, getattr(sim, user), sim.last, "Larger")
    assert result.response.ephemeral is ephemeral


async def test_a_larger_picture_can_be_deleted_by_its_owner_for_ever(
    sim: SimulatedDiscord,
) -> None:
    await redraw(sim)
    larger = (await press(sim, sim.alice, sim.last, "Larger")).response.message
    await sim.bot.services.store.erase_user(sim.alice.id)
    await press(sim, sim.bob, larger, "Remove")
    assert larger.id in {message.id for message in sim.channel.history()}
    await press(sim, sim.alice, larger, "Remove")
    assert larger.id not in {message.id for message in sim.channel.history()}


async def test_a_linked_attachment_keeps_the_rules_of_its_channel(
    sim: SimulatedDiscord, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fetch(_url: str) -> bytes:
        return CAT[1]

    monkeypatch.setattr(sim.bot.services.intake, "fetch", fetch)
    mod, theirs = moderator_of_one_channel(sim)
    make_age_restricted(sim, theirs)
    make_age_restricted(sim, sim.channel)
    file = f"https://cdn.discordapp.com/attachments/{theirs.id}/{theirs.id}/a.png?ex=1&is=1&hm=1"
    await slash(mod, sim.channel, "img2img", prompt="x", url=file)
    job = await newest_job(sim, mod)
    assert (job.source_channel_id, job.age_restricted) == (theirs.id, True)
