"""`/settings panel`: who may use it, and that each setting acts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import discord
import pytest
import pytest_asyncio
from simcord.backend.errors import SetupError

from bot.errors import StorageFull
from bot.jobs.budgets import EVERYONE, RoleLimits
from bot.moderation.detectors.prompt_rules import RuleKind
from bot.moderation.model import EVERYWHERE, ActionKind
from bot.retention_clock import RetentionClock
from bot.runner.retention import erase_expired_jobs
from tests.support.moderation.discord import (
    CAT,
    ModeratedServer,
    Painter,
    open_moderated_server,
    pictures_in,
    said,
)
from tests.support.simulated_discord import text_of


@pytest_asyncio.fixture
async def server(tmp_path: Path) -> AsyncIterator[ModeratedServer]:
    async with open_moderated_server(tmp_path, moderation=False) as opened:
        yield opened


async def panel(server: ModeratedServer) -> Any:
    result = await server.manager.slash(server.log, "settings panel")
    assert result.response is not None
    assert result.response.ephemeral
    return result.response


async def choose(server: ModeratedServer, field: str, *values: Any) -> None:
    shown = await panel(server)
    await server.manager.select(shown, values, custom_id=f"redraw:settings:{field}")
    await server.sim.env.settle()


async def newest(server: ModeratedServer) -> Any:
    (job, *_) = await server.services.store.jobs_of(server.alice.id)
    return job


@pytest.mark.parametrize("who", ["alice", "moderator", "operator"])
async def test_only_managers_of_the_server_open_the_panel(
    server: ModeratedServer, who: str
) -> None:
    with pytest.raises(SetupError):
        await server.command(getattr(server, who), "settings panel")


async def test_a_member_who_lost_the_permission_changes_nothing(server: ModeratedServer) -> None:
    shown = await panel(server)
    guild = server.sim.bot.get_guild(server.guild_id)
    assert guild is not None
    role = guild.get_role(server.sim.env.guild.roles["managers"].id)
    assert role is not None
    # As after a change of the role in Discord.
    role._permissions = 0
    result = await server.manager.click(shown, custom_id="redraw:settings:mentions")
    assert "Only members with the permission Manage Server" in said(result)
    assert (await server.services.store.guild_settings.options(server.guild_id)).mentions


async def test_a_menu_with_a_choice_keeps_its_name(server: ModeratedServer) -> None:
    """A menu of channels or roles shows its choice in the place of its placeholder."""
    await choose(server, "gallery", server.adult)
    view = discord.ui.LayoutView.from_message((await panel(server)).message)
    items = list(view.walk_children())
    named = {
        item.custom_id.rpartition(":")[2]: label.content
        # Between a name and its menu is the menu's row.
        for label, item in zip(items, items[2:], strict=False)
        if isinstance(label, discord.ui.TextDisplay)
        and isinstance(item, discord.ui.ChannelSelect | discord.ui.RoleSelect)
    }
    assert named["channels"] == "Channels in which the bot may be used:"
    assert named["roles"] == "Roles with which the bot may be used:"
    assert named["gallery"] == "Channel for shared pictures:"
    assert named["log"] == "Channel of the moderation log:"


async def test_the_bot_works_in_the_chosen_channels_only(server: ModeratedServer) -> None:
    await choose(server, "channels", server.adult)
    told = await server.redraw()
    sentence = "In this server the bot may be used only in these channels"
    assert told == f"{sentence}: <#{server.adult.id}>."
    assert await server.redraw(server.adult) == ""
    await choose(server, "channels")
    assert await server.redraw() == ""


async def test_the_bot_works_for_the_chosen_roles_only(server: ModeratedServer) -> None:
    await choose(server, "roles", server.artists)
    told = await server.redraw()
    sentence = "In this server the bot may be used only with one of these roles"
    assert told == f"{sentence}: <@&{server.artists.id}>."
    assert await server.redraw(user=server.artist) == ""


async def test_pictures_are_shared_in_the_chosen_gallery(server: ModeratedServer) -> None:
    await choose(server, "gallery", server.adult)
    await server.redraw()
    await server.click(server.alice, server.sim.last, "Share")
    assert len(pictures_in(server.adult)) == 1


async def test_the_log_is_in_the_chosen_channel(server: ModeratedServer) -> None:
    await choose(server, "log", server.adult)
    await server.command(server.moderator, "moderation ban", target=server.bob)
    assert "Banned" in text_of(server.adult.history()[-1])


async def test_the_chosen_style_is_used_where_a_user_chooses_none(server: ModeratedServer) -> None:
    await choose(server, "style", "Ink drawing")
    await server.redraw()
    assert (await newest(server)).style == "Ink drawing"
    await server.redraw(options={"style": "Watercolour"})
    assert (await newest(server)).style == "Watercolour"
    await server.redraw(options={"style": "none"})
    assert (await newest(server)).style is None


async def test_public_messages_are_in_the_chosen_language(server: ModeratedServer) -> None:
    await choose(server, "language", "de")
    await server.redraw()
    assert "Stärke" in text_of(server.sim.last)
    await server.redraw(options={"private": True})
    assert (await newest(server)).locale == "en-US"


async def test_mentions_can_be_turned_off(server: ModeratedServer) -> None:
    bot = server.sim.bot.user
    assert bot is not None
    for answered in (False, True):
        await server.manager.click(await panel(server), custom_id="redraw:settings:mentions")
        before = len(server.channel.history())
        await server.alice.send(server.channel, f"{bot.mention} a fox", attachments=[CAT])
        await server.sim.settled()
        assert len(server.channel.history()) == before + 1 + answered


async def test_numbers_are_checked_and_act(server: ModeratedServer) -> None:
    async def type_in(**fields: str) -> str:
        shown = await server.manager.click(await panel(server), custom_id="redraw:settings:numbers")
        result = await server.manager.submit_modal(shown, fields)
        await server.sim.env.settle()
        return said(result)

    assert "must be a number from 0.1 to 24" in await type_in(retention="25")
    assert "must be a number from 0 to 0.5" in await type_in(threshold="0.6")
    options = await server.services.store.guild_settings.options(server.guild_id)
    assert options.retention_hours is None
    await type_in(strength="0.5", retention="1", threshold="0.4", server="600")
    policy = await server.services.moderation.lists.policy(server.guild_id)
    assert (policy.threshold, policy.age_restricted_threshold) == (0.4, None)
    *_, recorded = await server.services.moderation.cases.actions(server.guild_id)
    assert (recorded.kind, recorded.moderator_id) == (ActionKind.SET_POLICY, server.manager.id)
    await server.redraw()
    job = await newest(server)
    assert job.variants[0].strength == 0.5
    assert "600 s" not in await server.command(server.alice, "quota")
    assert "10 min" in await server.command(server.alice, "quota")


async def test_numbers_are_stored_together_or_not_at_all(
    server: ModeratedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Options and moderation have a table each."""
    settings, lists = server.services.store.guild_settings, server.services.moderation.lists

    def full(*_: object) -> None:
        raise StorageFull

    for owner, name in ((settings, "_write"), (lists, "write_policy")):
        shown = await server.manager.click(await panel(server), custom_id="redraw:settings:numbers")
        with monkeypatch.context() as patched:
            patched.setattr(owner, name, full)
            await server.manager.submit_modal(shown, {"strength": "0.5", "threshold": "0.4"})
            await server.sim.env.settle()
        assert (await settings.options(server.guild_id)).strength is None
        assert (await lists.policy(server.guild_id)).threshold is None


async def test_limits_of_a_role_and_of_everybody_are_changed_in_the_panel(
    server: ModeratedServer,
) -> None:
    settings = server.services.store.guild_settings
    kept = {server.artists.id: RoleLimits(private=True).model_dump()}
    await settings.change(server.guild_id, limits=kept)
    shown = await server.manager.select(
        await panel(server), [server.artists], custom_id="redraw:settings:limits"
    )
    await server.manager.submit_modal(shown, {"steps": "40", "seconds_a_day": "600"})
    shown = await server.manager.click(await panel(server), custom_id="redraw:settings:everyone")
    refused = await server.manager.submit_modal(shown, {"steps": "0"})
    assert "must be a number from 1 to 150" in said(refused)
    shown = await server.manager.click(await panel(server), custom_id="redraw:settings:everyone")
    await server.manager.submit_modal(shown, {"steps": "20"})
    await server.sim.env.settle()
    limits = (await settings.options(server.guild_id)).limits
    assert limits == {
        server.artists.id: RoleLimits(steps=40, seconds_a_day=600, private=True),
        EVERYONE: RoleLimits(steps=20),
    }
    assert "at most 20 steps" in await server.redraw(options={"steps": 30})
    assert await server.redraw(user=server.artist, options={"steps": 40}) == ""


async def test_the_role_everyone_stands_for_all_users(server: ModeratedServer) -> None:
    shown = await server.manager.select(
        await panel(server),
        [server.sim.env.guild.default_role],
        custom_id="redraw:settings:limits",
    )
    await server.manager.submit_modal(shown, {"steps": "20"})
    await server.sim.env.settle()
    options = await server.services.store.guild_settings.options(server.guild_id)
    assert options.limits == {EVERYONE: RoleLimits(steps=20)}


@pytest.mark.parametrize("field", ["gallery", "log"])
async def test_a_channel_in_which_the_bot_cannot_post_is_not_chosen(
    server: ModeratedServer, field: str
) -> None:
    guild = server.sim.env.guild
    closed = discord.PermissionOverwrite(send_messages=False)
    channel = guild.create_text_channel("closed", overwrites={guild.default_role: closed})
    shown = await panel(server)
    told = await server.manager.select(shown, [channel], custom_id=f"redraw:settings:{field}")
    assert "I need Send Messages" in said(told)
    assert await server.services.store.guild_settings.gallery(server.guild_id) is None
    policy = await server.services.moderation.lists.policy(server.guild_id)
    assert policy.log_channel_id is None


async def test_pictures_and_prompts_are_kept_for_the_servers_time(server: ModeratedServer) -> None:
    await server.services.store.guild_settings.change(server.guild_id, retention_hours=1)
    await server.services.moderation.lists.add_rule(EVERYWHERE, RuleKind.WORD, "wolf")
    await server.open_log()
    await server.redraw(prompt="a wolf")
    await server.redraw()
    store, cases = server.services.store, server.services.moderation.cases
    job = await newest(server)

    def in_two_hours() -> float:
        return time.time() + 2 * 3600

    server.services.moderation_log._retention_clock = RetentionClock(in_two_hours)
    server.services.moderation_log.clean()
    erasing = asyncio.create_task(erase_expired_jobs(store, 24.0, in_two_hours))

    async def kept() -> bool:
        [case] = await cases.of_user(server.alice.id)
        return case.prompt is not None or await store.job(job.id) is not None

    async with asyncio.timeout(60):
        while await kept():  # noqa: ASYNC110 - neither loop tells when it is done
            await asyncio.sleep(0.01)
    erasing.cancel()
    await asyncio.gather(erasing, return_exceptions=True)


async def test_a_panel_works_after_a_restart(server: ModeratedServer) -> None:
    shown = await panel(server)
    await server.sim.restart(Painter())
    await server.manager.click(shown, custom_id="redraw:settings:mentions")
    assert not (await server.services.store.guild_settings.options(server.guild_id)).mentions


async def test_the_menus_offer_the_kinds_of_channels_that_can_be_chosen(
    server: ModeratedServer,
) -> None:
    message = (await panel(server)).message
    menus = {
        item.custom_id: (item.channel_types, item.min_values, item.max_values)
        for item in discord.ui.LayoutView.from_message(message).walk_children()
        if isinstance(item, discord.ui.ChannelSelect)
    }
    kind = discord.ChannelType
    text = [kind.text, kind.news]
    assert menus == {
        "redraw:settings:channels": ([*text, kind.forum, kind.voice], 0, 25),
        "redraw:settings:gallery": (text, 0, 1),
        "redraw:settings:log": (text, 0, 1),
    }
