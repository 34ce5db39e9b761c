"""The fake Discord sends and accepts what Discord's documents say, over real HTTP and gateway."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import discord
import pytest
from aiohttp import web

from tests.support.bots.minimal_bot import point_discord_py_at
from tests.support.fake_discord.gateway import Connection
from tests.support.fake_discord.guild import Channel, ChannelType, Guild, Overwrite, Permission
from tests.support.fake_discord.guild_state import HOME_GUILD
from tests.support.fake_discord.payloads import USER_INSTALL_PERMISSIONS
from tests.support.fake_discord.server import FakeDiscord, fake_discord
from tests.support.fake_discord.state import DiscordState

BOT, ALICE, BOB, CAROL = 1001, 2001, 2002, 2003
TEXT, HIDDEN, PRIVATE, ELSEWHERE, DM = 10, 11, 12, 20, 30
OTHER_GUILD = 8
PICTURE = {"cat.png": b"a picture"}


class Recorder(discord.Client):
    """A client that records what it receives."""

    def __init__(self, intents: discord.Intents) -> None:
        super().__init__(intents=intents, max_messages=None, guild_ready_timeout=0.05)
        self.received: asyncio.Queue[discord.Message] = asyncio.Queue()
        self.interactions: asyncio.Queue[discord.Interaction] = asyncio.Queue()

    async def on_message(self, message: discord.Message) -> None:
        self.received.put_nowait(message)

    async def on_interaction(self, interaction: discord.Interaction) -> None:
        self.interactions.put_nowait(interaction)

    async def next(self) -> discord.Message:
        async with asyncio.timeout(10):
            return await self.received.get()

    async def next_interaction(self) -> discord.Interaction:
        async with asyncio.timeout(10):
            return await self.interactions.get()


def home() -> DiscordState:
    """Two servers: one with the bot, one without it. Alice is in both."""
    state = DiscordState()
    guild = state.guilds[HOME_GUILD]
    guild.add_bot(BOT)
    for user in (ALICE, BOB):
        guild.add_member(user)
    guild.add_channel(Channel(TEXT, HOME_GUILD))
    hidden = Overwrite(BOT, member=True, deny=Permission.VIEW_CHANNEL)
    guild.add_channel(Channel(HIDDEN, HOME_GUILD, overwrites=[hidden]))
    thread = Channel(PRIVATE, HOME_GUILD, ChannelType.PRIVATE_THREAD, parent_id=TEXT)
    thread.members = {ALICE, BOT}
    guild.add_channel(thread)
    other = state.guilds[OTHER_GUILD] = Guild(OTHER_GUILD)
    other.add_member(ALICE)
    other.add_channel(Channel(ELSEWHERE, OTHER_GUILD))
    state.dm_channels[DM] = ALICE
    return state


@asynccontextmanager
async def connected(
    state: DiscordState, *, message_content: bool = False
) -> AsyncIterator[tuple[FakeDiscord, Recorder]]:
    intents = discord.Intents(guilds=True, guild_messages=True, dm_messages=True)
    intents.message_content = message_content
    async with fake_discord(state) as server:
        point_discord_py_at(server.port)
        async with Recorder(intents) as client:
            await client.login(f"token-of-{BOT}")
            gateway = asyncio.create_task(client.connect())
            try:
                ready = asyncio.create_task(client.wait_until_ready())
                await asyncio.wait({gateway, ready}, return_when=asyncio.FIRST_COMPLETED)
                if gateway.done():
                    ready.cancel()
                    gateway.result()
                yield server, client
            finally:
                await client.close()
                await asyncio.gather(gateway, return_exceptions=True)


async def test_without_the_intent_content_and_attachments_of_others_are_empty() -> None:
    async with connected(home()) as (server, client):
        written = await server.write(ALICE, TEXT, "look", files=PICTURE)
        received = await client.next()
        fetched = await client.get_partial_messageable(TEXT).fetch_message(written.id)
        [listed] = [m async for m in client.get_partial_messageable(TEXT).history(limit=5)]
    for message in (received, fetched, listed):
        assert message.author.id == ALICE
        assert (message.content, message.attachments) == ("", [])


async def test_with_the_intent_content_and_attachments_are_sent() -> None:
    state = home()
    state.content_intent.add(BOT)
    async with connected(state, message_content=True) as (server, client):
        await server.write(ALICE, TEXT, "look", files=PICTURE)
        message = await client.next()
        assert message.content == "look"
        assert await message.attachments[0].read() == b"a picture"


@pytest.mark.parametrize("case", ["mention", "reply that pings", "direct message", "own message"])
async def test_what_is_sent_without_the_intent(case: str) -> None:
    async with connected(home()) as (server, client):
        match case:
            case "mention":
                await server.write(ALICE, TEXT, f"<@{BOT}> a fox", files=PICTURE)
            case "reply that pings":
                own = await client.get_partial_messageable(TEXT).send("done")
                await server.write(ALICE, TEXT, "thanks", files=PICTURE, reply_to=own.id)
            case "direct message":
                await server.write(ALICE, DM, "a fox", files=PICTURE)
            case "own message":
                await client.get_partial_messageable(TEXT).send("mine")
                [message] = [m async for m in client.get_partial_messageable(TEXT).history()]
                assert message.content == "mine"
                return
        message = await client.next()
    assert message.content != ""
    assert message.attachments[0].filename == "cat.png"


async def test_a_reply_without_a_ping_has_no_mention() -> None:
    async with connected(home()) as (server, client):
        own = await client.get_partial_messageable(TEXT).send("done")
        await server.write(ALICE, TEXT, "thanks", reply_to=own.id, ping=False)
        message = await client.next()
    assert (message.content, message.mentions) == ("", [])
    assert message.reference is not None
    assert isinstance(message.reference.resolved, discord.Message)
    assert message.reference.resolved.content == "done"


async def test_a_reply_that_pings_mentions_the_bot_without_a_typed_mention() -> None:
    async with connected(home()) as (server, client):
        own = await client.get_partial_messageable(TEXT).send("done")
        await server.write(ALICE, TEXT, "thanks", reply_to=own.id)
        message = await client.next()
    assert [user.id for user in message.mentions] == [BOT]
    assert message.raw_mentions == []


async def test_the_message_that_a_mention_replies_to_is_empty_without_the_intent() -> None:
    async with connected(home()) as (server, client):
        photo = await server.write(BOB, TEXT, "my cat", files=PICTURE)
        await client.next()
        await server.write(ALICE, TEXT, f"<@{BOT}> a fox", reply_to=photo.id)
        message = await client.next()
    assert message.reference is not None
    assert isinstance(message.reference.resolved, discord.Message)
    assert message.reference.resolved.attachments == []


async def test_the_target_of_a_message_command_has_its_content() -> None:
    async with connected(home()) as (server, client):
        photo = await server.write(BOB, TEXT, "my cat", files=PICTURE)
        await server.message_command(BOT, ALICE, "Redraw this", photo)
        interaction = await client.next_interaction()
    assert interaction.data is not None
    target = interaction.data["resolved"]["messages"][str(photo.id)]  # type: ignore[typeddict-item]
    assert target["attachments"][0]["filename"] == "cat.png"


async def test_an_intent_that_is_off_in_the_portal_closes_the_connection() -> None:
    with pytest.raises(discord.PrivilegedIntentsRequired):
        async with connected(home(), message_content=True):
            pass


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
