"""The REST routes of the fake Discord, and faults on request."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from aiohttp import web

from tests.support.fake_discord.gateway import Gateway
from tests.support.fake_discord.payloads import (
    application_of,
    application_payload,
    command_payload,
    interaction_payload,
    message_payload,
    user_payload,
)
from tests.support.fake_discord.state import DiscordState, Interaction, Refusal

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Fault(Enum):
    """What can happen to a request on the network."""

    LOST = auto()
    """The connection breaks before Discord has read it."""
    RESET = auto()
    """The request is carried out, then the connection breaks."""
    HALF = auto()
    """The request is carried out, then half of the response arrives."""
    NO_JSON = auto()
    """The request is carried out, but the response is the page of a proxy."""
    BAD_GATEWAY = auto()
    """The request is carried out, but a proxy responds with 502."""


@dataclass
class FakeDiscord:
    """The server.

    `faults` maps "METHOD /route" to a `Fault` or a `Refusal` for each of the next requests there.
    `requests` counts the requests by route.
    """

    discord_state: DiscordState
    port: int = 0
    faults: dict[str, list[Fault | Refusal]] = field(default_factory=lambda: defaultdict(list))
    requests: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    cdn: dict[str, bytes] = field(default_factory=dict)
    gateway: Gateway = field(default_factory=Gateway)

    async def command(
        self, application_id: int, channel_id: int, user_id: int, name: str, **options: Any
    ) -> Interaction | None:
        """Send a slash command of a user; None if the bot is not connected. An option of type bytes
        is an attachment."""
        interaction = self.discord_state.interact(application_id, channel_id, user_id)
        self.cdn |= {key: value for key, value in options.items() if isinstance(value, bytes)}
        command = command_payload(name, options, self.port)
        data = interaction_payload(interaction, command, self.discord_state.upload_limit)
        sent = await self.gateway.dispatch(application_id, "INTERACTION_CREATE", data)
        return interaction if sent else None

    async def gateway_for_bots(self, request: web.Request) -> web.StreamResponse:
        """The gateway's address and the number of shards."""
        _bot(request)
        limits = {"total": 1000, "remaining": 1000, "reset_after": 0, "max_concurrency": 1}
        url = f"ws://127.0.0.1:{self.port}/"
        return _json({"url": url, "shards": 1, "session_start_limit": limits})

    async def me(self, request: web.Request) -> web.StreamResponse:
        """The bot's user."""
        return _json(user_payload(_bot(request), bot=True))

    async def application(self, request: web.Request) -> web.StreamResponse:
        """The bot's application."""
        return _json(application_payload(_bot(request)))

    async def acknowledge(self, request: web.Request) -> web.StreamResponse:
        """The first response to an interaction: a message, or a deferred one."""
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
        """A follow-up message."""
        payload, files = await _body(request)
        message = self.discord_state.follow_up(request.match_info["token"], payload, files)
        return _json(message_payload(message))

    async def delete_by_token(self, request: web.Request) -> web.StreamResponse:
        """Delete a reply."""
        self.discord_state.messages[
            _message_id(self.discord_state, request.match_info)
        ].deleted = True
        return web.Response(status=204)

    async def publish(self, request: web.Request) -> web.StreamResponse:
        """The bot's commands."""
        extra = {"application_id": str(_bot(request)), "version": "1"}
        # A context menu command has no description.
        bare = {"description": ""}
        commands = enumerate(await request.json(), start=1)
        return _json([bare | command | extra | {"id": str(number)} for number, command in commands])

    async def file(self, request: web.Request) -> web.StreamResponse:
        """An attachment."""
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
        """A message."""
        where = request.match_info
        message = self.discord_state.message(
            _bot(request), int(where["channel"]), int(where["message"])
        )
        return _json(message_payload(message))

    async def history(self, request: web.Request) -> web.StreamResponse:
        """The messages of a channel, without their nonces."""
        _bot(request)
        found = self.discord_state.history(
            int(request.match_info["channel"]),
            int(request.query.get("after", 0)),
            int(request.query.get("limit", 50)),
        )
        return _json([message_payload(message) for message in found])

    async def open_dm(self, request: web.Request) -> web.StreamResponse:
        """The channel for direct messages with a user."""
        _bot(request)
        user_id = int((await request.json())["recipient_id"])
        channel_id = self.discord_state.open_dm(user_id)
        return _json(
            {"id": str(channel_id), "type": 1, "recipients": [user_payload(user_id)], "flags": 0}
        )

    @web.middleware
    async def faulty(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Turn refusals into error responses, and apply faults."""
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
    """Serve on a free port of the loopback interface."""
    discord = FakeDiscord(discord_state)
    app = web.Application(middlewares=[discord.faulty], client_max_size=64 * 2**20)
    api = "/api/v10"
    messages = api + "/channels/{channel}/messages"
    app.add_routes(
        [
            web.get("/", discord.gateway.serve),
            web.get(api + "/gateway/bot", discord.gateway_for_bots),
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
    """A JSON response without a charset, as Discord sends it and discord.py requires it."""
    body = json.dumps(data).encode()
    return web.Response(body=body, status=status, content_type="application/json")


def _hang_up(request: web.Request) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def _bot(request: web.Request) -> int:
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    if kind != "Bot" or not token.startswith("token-of-"):
        raise Refusal(401, 0, "401: Unauthorized")
    return application_of(token)


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
