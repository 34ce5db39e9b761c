"""The gateway of the fake Discord: one WebSocket for each bot, compressed as zlib-stream.

https://discord.com/developers/docs/events/gateway
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import zlib
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web

from tests.support.fake_discord.guild_payloads import guild_payload
from tests.support.fake_discord.guild_state import HOME_GUILD
from tests.support.fake_discord.payloads import application_of, ready_payload
from tests.support.fake_discord.state import DiscordState

DISPATCH, HEARTBEAT, IDENTIFY, RESUME = 0, 1, 2, 6
INVALID_SESSION, HELLO, HEARTBEAT_ACK = 9, 10, 11
GUILDS, MESSAGE_CONTENT = 1 << 0, 1 << 15
DISALLOWED_INTENTS = 4014


class Connection:
    """One bot's WebSocket."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self.socket = socket
        self._packer = zlib.compressobj()
        self.intents = 0
        # Number of this shard, and how many there are.
        self.shard: tuple[int, int] = (0, 1)

    def serves(self, guild_id: int) -> bool:
        """Whether events of the guild go to this shard; id 0 stands for direct messages.

        https://discord.com/developers/docs/events/gateway#sharding
        """
        number, count = self.shard
        return (guild_id >> 22) % count == number

    async def send(self, payload: Any) -> None:
        """Send one payload."""
        data = self._packer.compress(json.dumps(payload).encode())
        await self.socket.send_bytes(data + self._packer.flush(zlib.Z_SYNC_FLUSH))


@dataclass
class Gateway:
    """The connections of all bots, by application id and shard.

    `refusals` holds the close codes with which the next identifications and resumptions are
    refused.
    """

    discord_state: DiscordState
    refusals: list[int] = field(default_factory=list)
    connections: dict[tuple[int, int], Connection] = field(default_factory=dict)
    _ready: dict[int, asyncio.Event] = field(default_factory=lambda: defaultdict(asyncio.Event))

    async def wait_ready(self, application_id: int) -> None:
        """Wait until that bot has identified itself."""
        await self._ready[application_id].wait()

    def connection(self, application_id: int, guild_id: int = 0) -> Connection | None:
        """The open connection of a bot that gets the events of a guild."""
        for (bot_id, _), connection in self.connections.items():
            if bot_id == application_id and connection.serves(guild_id):
                return None if connection.socket.closed else connection
        return None

    async def dispatch(
        self, application_id: int, event: str, data: Any, *, guild_id: int = 0
    ) -> bool:
        """Send an event to a bot. Returns False if the bot is not connected."""
        connection = self.connection(application_id, guild_id)
        if connection is None:
            return False
        with contextlib.suppress(ConnectionError):
            await connection.send({"op": DISPATCH, "t": event, "s": 1, "d": data})
            return True
        return False

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Handle one connection until it is closed."""
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        connection = Connection(socket)
        await connection.send({"op": HELLO, "d": {"heartbeat_interval": 41250}})
        application_id = 0
        try:
            async for frame in socket:
                if frame.type is not WSMsgType.TEXT:
                    continue
                payload = frame.json()
                if payload["op"] == HEARTBEAT and application_id:
                    await connection.send({"op": HEARTBEAT_ACK})
                elif payload["op"] in (IDENTIFY, RESUME) and self.refusals:
                    await socket.close(code=self.refusals.pop(0))
                elif payload["op"] == RESUME:
                    # Sessions are not kept: the bot has to identify itself again.
                    await connection.send({"op": INVALID_SESSION, "d": False})
                elif payload["op"] == IDENTIFY:
                    application_id = application_of(payload["d"]["token"])
                    connection.intents = payload["d"].get("intents", 0)
                    connection.shard = tuple(payload["d"].get("shard", (0, 1)))
                    if not await self._identify(application_id, connection, request.url.port or 0):
                        break
        finally:
            key = (application_id, connection.shard[0])
            if self.connections.get(key) is connection:
                del self.connections[key]
                self._ready[application_id].clear()
        return socket

    async def _identify(self, bot_id: int, connection: Connection, port: int) -> bool:
        state = self.discord_state
        if connection.intents & MESSAGE_CONTENT and bot_id not in state.content_intent:
            await connection.socket.close(code=DISALLOWED_INTENTS)
            return False
        self.connections[bot_id, connection.shard[0]] = connection
        if bot_id not in state.guilds[HOME_GUILD].member_roles:
            state.guilds[HOME_GUILD].add_bot(bot_id)
        guilds = [
            guild
            for guild in state.guilds.values()
            if bot_id in guild.member_roles and connection.serves(guild.id)
        ]
        ready = ready_payload(bot_id, [guild.id for guild in guilds], port)
        ready["shard"] = connection.shard
        await connection.send({"op": DISPATCH, "t": "READY", "s": 1, "d": ready})
        if connection.intents & GUILDS:
            for guild in guilds:
                data = guild_payload(guild, bot_id)
                await connection.send({"op": DISPATCH, "t": "GUILD_CREATE", "s": 1, "d": data})
        self._ready[bot_id].set()
        return True
