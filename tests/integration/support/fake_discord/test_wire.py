"""The fake Discord sends and accepts what Discord's documents say, over real HTTP and gateway."""

from __future__ import annotations

import discord
import pytest
from aiohttp import web

from tests.support.bots.recorder import (
    ALICE,
    BOB,
    BOT,
    CAROL,
    ELSEWHERE,
    HIDDEN,
    OTHER_GUILD,
    PRIVATE,
    TEXT,
    connected,
    home,
)
from tests.support.fake_discord.gateway import Connection
from tests.support.fake_discord.guild import Overwrite, Permission
from tests.support.fake_discord.guild_state import HOME_GUILD
from tests.support.fake_discord.payloads import USER_INSTALL_PERMISSIONS


async def test_an_app_that_only_a_user_added_has_few_permissions() -> None:
    async with connected(home()) as (server, client):
        await server.command(BOT, ELSEWHERE, ALICE, "img2img", prompt="a fox")
        interaction = await client.next_interaction()
    assert interaction.app_permissions.value == USER_INSTALL_PERMISSIONS
    assert not interaction.app_permissions.view_channel
    assert not interaction.app_permissions.send_messages
    assert interaction.is_user_integration()
    assert not interaction.is_guild_integration()


@pytest.mark.parametrize("external_apps", [True, False])
async def test_without_use_external_apps_the_reply_of_a_user_app_is_ephemeral(
    external_apps: bool,
) -> None:
    state = home()
    everyone = state.guilds[OTHER_GUILD].roles[OTHER_GUILD]
    if not external_apps:
        everyone.permissions &= ~Permission.USE_EXTERNAL_APPS
    async with connected(state) as (server, client):
        await server.command(BOT, ELSEWHERE, ALICE, "img2img", prompt="a fox")
        await (await client.next_interaction()).response.defer(thinking=True)
    [reply] = [message for message in state.messages.values() if message.author_id == BOT]
    assert reply.ephemeral is not external_apps


async def test_the_apps_permissions_come_from_roles_and_overwrites() -> None:
    state = home()
    channel = state.guilds[HOME_GUILD].channels[TEXT]
    channel.overwrites.append(Overwrite(BOT, member=True, deny=Permission.ATTACH_FILES))
    async with connected(state) as (server, client):
        await server.command(BOT, TEXT, ALICE, "img2img", prompt="a fox")
        interaction = await client.next_interaction()
    assert interaction.app_permissions.view_channel
    assert not interaction.app_permissions.attach_files
    assert interaction.permissions.attach_files
    assert not interaction.permissions.manage_messages


@pytest.mark.parametrize(
    ("channel", "code"), [(HIDDEN, 50001), (ELSEWHERE, 50001), (999, 10003), (PRIVATE, None)]
)
async def test_channels_that_the_bot_cannot_see_are_refused(channel: int, code: int | None) -> None:
    async with connected(home()) as (_, client):
        messages = client.get_partial_messageable(channel)
        for attempt in (messages.send("x"), anext(messages.history(limit=1))):
            if code is None:
                await attempt
                continue
            with pytest.raises(discord.HTTPException) as error:
                await attempt
            assert error.value.code == code


async def test_a_private_thread_without_the_bot_is_refused() -> None:
    state = home()
    state.guilds[HOME_GUILD].channels[PRIVATE].members = {ALICE}
    async with connected(state) as (_, client):
        with pytest.raises(discord.Forbidden):
            await client.fetch_channel(PRIVATE)


async def test_the_members_of_a_thread_can_be_asked_for() -> None:
    async with connected(home()) as (_, client):
        thread = await client.fetch_channel(PRIVATE)
        assert isinstance(thread, discord.Thread)
        assert (await thread.fetch_member(ALICE)).id == ALICE
        with pytest.raises(discord.NotFound):
            await thread.fetch_member(BOB)


@pytest.mark.parametrize(
    "denied",
    [Permission.SEND_MESSAGES, Permission.ATTACH_FILES, Permission.READ_MESSAGE_HISTORY],
)
async def test_each_permission_has_its_effect(denied: Permission) -> None:
    state = home()
    overwrite = Overwrite(BOT, member=True, deny=denied)
    state.guilds[HOME_GUILD].channels[TEXT].overwrites.append(overwrite)
    async with connected(state) as (server, client):
        written = await server.write(ALICE, TEXT, "look")
        channel = client.get_partial_messageable(TEXT)
        if denied is Permission.READ_MESSAGE_HISTORY:
            assert [m async for m in channel.history()] == []
            with pytest.raises(discord.Forbidden):
                await channel.fetch_message(written.id)
            return
        file = discord.File(__file__, "x.txt")
        with pytest.raises(discord.Forbidden) as error:
            await channel.send(file=file)
        assert error.value.code == 50013
        file.close()


async def test_a_bot_deletes_messages_of_others_only_with_manage_messages() -> None:
    state = home()
    async with connected(state) as (server, client):
        written = await server.write(ALICE, TEXT, "look")
        message = client.get_partial_messageable(TEXT).get_partial_message(written.id)
        with pytest.raises(discord.Forbidden):
            await message.delete()
        state.guilds[HOME_GUILD].roles[BOT + 500].permissions |= Permission.MANAGE_MESSAGES
        await message.delete()
    assert state.messages[written.id].deleted


async def test_a_member_of_another_server_is_unknown() -> None:
    async with connected(home()) as (_, client):
        guild = client.get_guild(HOME_GUILD)
        assert guild is not None
        assert client.get_guild(OTHER_GUILD) is None
        assert (await guild.fetch_member(ALICE)).id == ALICE
        with pytest.raises(discord.NotFound):
            await guild.fetch_member(CAROL)


async def test_the_first_follow_up_after_a_deferred_reply_edits_it() -> None:
    """Its ephemeral flag stays as it was; later follow-ups are messages of their own."""
    async with connected(home()) as (server, client):
        await server.command(BOT, TEXT, ALICE, "img2img", prompt="a fox")
        interaction = await client.next_interaction()
        await interaction.response.defer(thinking=True, ephemeral=True)
        first = await interaction.followup.send("one", wait=True)
        second = await interaction.followup.send("two", wait=True)
    messages = [m for m in server.discord_state.messages.values() if m.author_id == BOT]
    assert [(m.id, m.content, m.ephemeral) for m in messages] == [
        (first.id, "one", True),
        (second.id, "two", False),
    ]


async def test_a_button_acknowledgement_refers_to_the_messages_reply() -> None:
    async with connected(home()) as (server, client):
        await client.get_partial_messageable(TEXT).send(
            view=discord.ui.View().add_item(discord.ui.Button(label="x", custom_id="x"))
        )
        [message] = server.discord_state.messages.values()
        await server.click(BOT, ALICE, message, "x")
        interaction = await client.next_interaction()
        await interaction.response.defer()
        await interaction.edit_original_response(content="clicked")
        assert message.content == "clicked"
        await interaction.delete_original_response()
        assert message.deleted


@pytest.mark.parametrize("shards", [1, 2, 3])
def test_events_of_a_guild_go_to_one_shard(shards: int) -> None:
    """https://discord.com/developers/docs/events/gateway#sharding"""
    for guild_id in (0, 7, 1 << 22, 5 << 22, 2 * 10**18):
        serving = []
        for number in range(shards):
            connection = Connection(web.WebSocketResponse())
            connection.shard = (number, shards)
            serving += [number] if connection.serves(guild_id) else []
        assert serving == [(guild_id >> 22) % shards]
