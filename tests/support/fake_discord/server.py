"""The wire of the small Discord: REST routes, the gateway, and faults on request."""

from __future__ import annotations

import asyncio
import contextlib
import json
import zlib
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from aiohttp import WSMsgType, web

from tests.support.fake_discord.payloads import (
    application_payload,
    command_payload,
    interaction_payload,
    message_payload,
    ready_payload,
    user_payload,
)
from tests.support.fake_discord.state import DiscordState, Interaction, Refusal

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Fault(Enum):
    """What may happen to a request on its way."""

    LOST = auto()
    """The connection breaks before Discord has read it."""
    RESET = auto()
    """Done, then the connection breaks."""
    HALF = auto()
    """Done, then half of the answer arrives."""
    NO_JSON = auto()
    """Done, but the answer is a page of a proxy."""
    BAD_GATEWAY = auto()
    """Done, but a proxy says 502."""


@dataclass
class FakeDiscord:
    """`faults` maps "METHOD /route" to what the next requests there meet: a `Fault` or a
    `Refusal`; each is used up once. `requests` counts what came."""

    discord_state: DiscordState
    port: int = 0
    faults: dict[str, list[Fault | Refusal]] = field(default_factory=lambda: defaultdict(list))
    requests: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    cdn: dict[str, bytes] = field(default_factory=dict)
    _gateways: dict[int, web.WebSocketResponse] = field(default_factory=dict)
    _packers: dict[int, Any] = field(default_factory=dict)
    _ready: dict[int, asyncio.Event] = field(default_factory=lambda: defaultdict(asyncio.Event))

    async def wait_ready(self, application_id: int) -> None:
        """Until that bot has identified itself at the gateway."""
        await self._ready[application_id].wait()

    async def command(
        self, application_id: int, channel_id: int, user_id: int, name: str, **options: Any
    ) -> Interaction | None:
        """A person gives a slash command; None if the bot is not there to hear of it. An option
        that is bytes is an attachment."""
        interaction = self.discord_state.interact(application_id, channel_id, user_id)
        self.cdn |= {key: value for key, value in options.items() if isinstance(value, bytes)}
        command = command_payload(name, options, self.port)
        data = interaction_payload(interaction, command, self.discord_state.upload_limit)
        sent = await self._dispatch(application_id, "INTERACTION_CREATE", data)
        return interaction if sent else None

    async def _dispatch(self, application_id: int, event: str, data: Any) -> bool:
        socket = self._gateways.get(application_id)
        if socket is None or socket.closed:
            return False
        with contextlib.suppress(ConnectionError):
            await self._send(application_id, {"op": 0, "t": event, "s": 1, "d": data})
            return True
        return False

    async def _send(self, application_id: int, payload: Any) -> None:
        packer = self._packers[application_id]
        packed = packer.compress(json.dumps(payload).encode()) + packer.flush(zlib.Z_SYNC_FLUSH)
        await self._gateways[application_id].send_bytes(packed)

    async def gateway(self, request: web.Request) -> web.StreamResponse:
        """https://discord.com/developers/docs/events/gateway#connection-lifecycle"""
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        packer = zlib.compressobj()
        hello = json.dumps({"op": 10, "d": {"heartbeat_interval": 41250}}).encode()
        await socket.send_bytes(packer.compress(hello) + packer.flush(zlib.Z_SYNC_FLUSH))
        application_id = 0
        try:
            async for frame in socket:
                if frame.type is not WSMsgType.TEXT:
                    continue
                payload = frame.json()
                if payload["op"] == 1 and application_id:
                    await self._send(application_id, {"op": 11})
                elif payload["op"] == 2:
                    application_id = _application_of(payload["d"]["token"])
                    self._gateways[application_id] = socket
                    self._packers[application_id] = packer
                    await self._send(application_id, ready_payload(application_id, self.port))
                    self._ready[application_id].set()
        finally:
            if self._gateways.get(application_id) is socket:
                del self._gateways[application_id]
                self._ready[application_id].clear()
        return socket

    async def me(self, request: web.Request) -> web.StreamResponse:
        """The bot's user."""
        return _json(user_payload(_bot(request), bot=True))

    async def application(self, request: web.Request) -> web.StreamResponse:
        """The bot's application."""
        return _json(application_payload(_bot(request)))

    async def acknowledge(self, request: web.Request) -> web.StreamResponse:
        """The first answer to an interaction: a message, or the promise of one."""
        body = await request.json()
        if body["type"] not in (4, 5):
            raise Refusal(400, 50035, "Invalid Form Body: only types 4 and 5 are known here")
        data = body.get("data") or {}
        token = request.match_info["token"]
        message = self.discord_state.acknowledge(token, flags=data.get("flags", 0))
        if body["type"] == 4:
            self.discord_state.edit_by_token(token, message.id, data, {})
        about = {
            "id": request.match_info["interaction"],
            "type": 2,
            "response_message_id": str(message.id),
            "response_message_loading": body["type"] == 5,
            "response_message_ephemeral": message.ephemeral,
        }
        return _json(
            {
                "interaction": about,
                "resource": {"type": body["type"], "message": message_payload(message)},
            }
        )

    async def edit_by_token(self, request: web.Request) -> web.StreamResponse:
        """Edit through the interaction's token."""
        where = request.match_info
        payload, files = await _body(request)
        message = self.discord_state.edit_by_token(
            where["token"], _message_id(self.discord_state, where), payload, files
        )
        return _json(message_payload(message))

    async def follow_up(self, request: web.Request) -> web.StreamResponse:
        """One more message to whoever gave the command."""
        payload, files = await _body(request)
        message = self.discord_state.follow_up(request.match_info["token"], payload, files)
        return _json(message_payload(message))

    async def delete_by_token(self, request: web.Request) -> web.StreamResponse:
        """Take a reply back."""
        self.discord_state.messages[
            _message_id(self.discord_state, request.match_info)
        ].deleted = True
        return web.Response(status=204)

    async def publish(self, request: web.Request) -> web.StreamResponse:
        """The bot's commands."""
        extra = {"application_id": str(_bot(request)), "version": "1"}
        # A command of a context menu has none of its own.
        bare = {"description": ""}
        commands = enumerate(await request.json(), start=1)
        return _json([bare | command | extra | {"id": str(number)} for number, command in commands])

    async def file(self, request: web.Request) -> web.StreamResponse:
        """What somebody attached."""
        return web.Response(body=self.cdn[request.match_info["name"]])

    async def edit_by_bot(self, request: web.Request) -> web.StreamResponse:
        """Edit with the bot's own token."""
        where = request.match_info
        payload, files = await _body(request)
        message = self.discord_state.edit_by_bot(
            _bot(request), int(where["channel"]), int(where["message"]), payload, files
        )
        return _json(message_payload(message))

    async def post(self, request: web.Request) -> web.StreamResponse:
        """A new message."""
        payload, files = await _body(request)
        channel_id = int(request.match_info["channel"])
        message = self.discord_state.post(_bot(request), channel_id, payload, files)
        return _json(message_payload(message) | {"nonce": payload.get("nonce")})

    async def get_message(self, request: web.Request) -> web.StreamResponse:
        """One message."""
        where = request.match_info
        message = self.discord_state.message(
            _bot(request), int(where["channel"]), int(where["message"])
        )
        return _json(message_payload(message))

    async def history(self, request: web.Request) -> web.StreamResponse:
        """A channel's messages; a nonce is not given back here."""
        _bot(request)
        found = self.discord_state.history(
            int(request.match_info["channel"]),
            int(request.query.get("after", 0)),
            int(request.query.get("limit", 50)),
        )
        return _json([message_payload(message) for message in found])

    async def open_dm(self, request: web.Request) -> web.StreamResponse:
        """The channel of direct messages with a person."""
        _bot(request)
        user_id = int((await request.json())["recipient_id"])
        channel_id = self.discord_state.open_dm(user_id)
        return _json(
            {"id": str(channel_id), "type": 1, "recipients": [user_payload(user_id)], "flags": 0}
        )

    @web.middleware
    async def faulty(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Give refusals the shape they have, and break what is to break."""
        resource = request.match_info.route.resource
        route = f"{request.method} {resource.canonical if resource else request.path}"
        self.requests[route] += 1
        fault = self.faults[route].pop(0) if self.faults.get(route) else None
        try:
            if isinstance(fault, Refusal):
                raise fault
            if fault is Fault.LOST:
                return _hang_up(request)
            response = await handler(request)
        except ConnectionError:
            # The bot was killed while it was sending.
            return _hang_up(request)
        except Refusal as refusal:
            return _json({"code": refusal.code, "message": refusal.message}, status=refusal.status)
        match fault:
            case Fault.RESET:
                return _hang_up(request)
            case Fault.HALF:
                assert isinstance(response, web.Response)
                assert isinstance(response.body, bytes)
                half = response.body[: len(response.body) // 2]
                return web.Response(body=half, content_type="application/json")
            case Fault.NO_JSON:
                return web.Response(text="<html>", content_type="text/html")
            case Fault.BAD_GATEWAY:
                return web.Response(text="<html>", content_type="text/html", status=502)
        return response


@asynccontextmanager
async def fake_discord(discord_state: DiscordState) -> AsyncIterator[FakeDiscord]:
    """Serve on a free port of the loopback."""
    discord = FakeDiscord(discord_state)
    app = web.Application(middlewares=[discord.faulty], client_max_size=64 * 2**20)
    api = "/api/v10"
    messages = api + "/channels/{channel}/messages"
    app.add_routes(
        [
            web.get("/", discord.gateway),
            web.get(api + "/users/@me", discord.me),
            web.get(api + "/oauth2/applications/@me", discord.application),
            web.post(api + "/interactions/{interaction}/{token}/callback", discord.acknowledge),
            web.patch(
                api + "/webhooks/{application}/{token}/messages/{message}", discord.edit_by_token
            ),
            web.delete(
                api + "/webhooks/{application}/{token}/messages/{message}",
                discord.delete_by_token,
            ),
            web.post(api + "/webhooks/{application}/{token}", discord.follow_up),
            web.put(api + "/applications/{application}/commands", discord.publish),
            web.get("/cdn/{name}", discord.file),
            web.patch(messages + "/{message}", discord.edit_by_bot),
            web.get(messages + "/{message}", discord.get_message),
            web.post(messages, discord.post),
            web.get(messages, discord.history),
            web.post(api + "/users/@me/channels", discord.open_dm),
        ]
    )
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    discord.port = runner.addresses[0][1]
    try:
        yield discord
    finally:
        await runner.cleanup()


def _json(data: Any, status: int = 200) -> web.Response:
    """Without a charset, as Discord does it and discord.py insists on."""
    body = json.dumps(data).encode()
    return web.Response(body=body, status=status, content_type="application/json")


def _hang_up(request: web.Request) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def _application_of(token: str) -> int:
    return int(token.removeprefix("token-of-"))


def _bot(request: web.Request) -> int:
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    if kind != "Bot" or not token.startswith("token-of-"):
        raise Refusal(401, 0, "401: Unauthorized")
    return _application_of(token)


def _message_id(discord_state: DiscordState, where: dict[str, str] | Any) -> int:
    if where["message"] != "@original":
        return int(where["message"])
    interaction = discord_state.interactions.get(where["token"])
    return (interaction.message_id if interaction else None) or 0


async def _body(request: web.Request) -> tuple[dict[str, Any], dict[str, bytes]]:
    if request.content_type == "application/json":
        return await request.json(), {}
    form = await request.post()
    payload = json.loads(str(form["payload_json"]))
    files = {
        part.filename: part.file.read() for part in form.values() if isinstance(part, web.FileField)
    }
    return payload, files
