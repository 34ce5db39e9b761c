"""A client that records what the fake Discord sends, for tests of the fake itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import discord

from tests.support.bots.minimal_bot import point_discord_py_at
from tests.support.fake_discord.guild import Channel, ChannelType, Guild, Overwrite, Permission
from tests.support.fake_discord.guild_state import HOME_GUILD
from tests.support.fake_discord.server import FakeDiscord, fake_discord
from tests.support.fake_discord.state import DiscordState

BOT, ALICE, BOB, CAROL = 1001, 2001, 2002, 2003
TEXT, HIDDEN, PRIVATE, ELSEWHERE, DM = 10, 11, 12, 20, 30
OTHER_GUILD = 8


class Recorder(discord.Client):
    """A client that records what it receives."""

    def __init__(self, intents: discord.Intents) -> None:
        super().__init__(intents=intents, max_messages=None, guild_ready_timeout=0.05)
        self.received: asyncio.Queue[discord.Message] = asyncio.Queue()
        self.interactions: asyncio.Queue[discord.Interaction] = asyncio.Queue()

    async def on_message(self, message: discord.Message) -> None:
        if message.author != self.user:
            self.received.put_nowait(message)

    async def on_interaction(self, interaction: discord.Interaction) -> None:
        self.interactions.put_nowait(interaction)

    async def next(self) -> discord.Message:
        async with asyncio.timeout(60):
            return await self.received.get()

    async def next_interaction(self) -> discord.Interaction:
        async with asyncio.timeout(60):
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
    """The fake Discord and a client that is connected to it."""
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
