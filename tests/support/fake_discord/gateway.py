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

from tests.support.fake_discord.payloads import application_of, ready_payload

DISPATCH, HEARTBEAT, IDENTIFY, RESUME, HELLO, HEARTBEAT_ACK = 0, 1, 2, 6, 10, 11


class Connection:
    """One bot's WebSocket."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self.socket = socket
        self._packer = zlib.compressobj()
        self.intents = 0

    async def send(self, payload: Any) -> None:
        """Send one payload."""
        data = self._packer.compress(json.dumps(payload).encode())
        await self.socket.send_bytes(data + self._packer.flush(zlib.Z_SYNC_FLUSH))


@dataclass
class Gateway:
    """The connections of all bots, by application id. `refusals` holds the close codes with which
    the next identifications and resumptions are refused."""

    refusals: list[int] = field(default_factory=list)
    connections: dict[int, Connection] = field(default_factory=dict)
    _ready: dict[int, asyncio.Event] = field(default_factory=lambda: defaultdict(asyncio.Event))

    async def wait_ready(self, application_id: int) -> None:
        """Wait until that bot has identified itself."""
        await self._ready[application_id].wait()

    async def dispatch(self, application_id: int, event: str, data: Any) -> bool:
        """Send an event to a bot. Returns False if the bot is not connected."""
        connection = self.connections.get(application_id)
        if connection is None or connection.socket.closed:
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
                elif payload["op"] == IDENTIFY:
                    application_id = application_of(payload["d"]["token"])
                    connection.intents = payload["d"].get("intents", 0)
                    self.connections[application_id] = connection
                    ready = ready_payload(application_id, request.url.port or 0)
                    if "shard" in payload["d"]:
                        ready["d"]["shard"] = payload["d"]["shard"]
                    await connection.send(ready)
                    self._ready[application_id].set()
        finally:
            if self.connections.get(application_id) is connection:
                del self.connections[application_id]
                self._ready[application_id].clear()
        return socket
