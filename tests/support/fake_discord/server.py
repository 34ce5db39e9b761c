"""The REST routes of the fake Discord."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.support.fake_discord.faults import Faults, json_response
from tests.support.fake_discord.guild_payloads import (
    channel_payload,
    dm_payload,
    member_payload,
    timestamp,
    user_payload,
)
from tests.support.fake_discord.message_payloads import message_payload
from tests.support.fake_discord.objects import Callback, Message, Refusal
from tests.support.fake_discord.payloads import application_of, application_payload
from tests.support.fake_discord.state import DiscordState
from tests.support.fake_discord.users import UserActions


@dataclass
class FakeDiscord(Faults, UserActions):
    """The server: REST routes, gateway, actions of users, and faults.

    `agents` has the User-Agent headers of requests for files whose names begin with "linked".
    """

    agents: list[str] = field(default_factory=list)

    async def gateway_for_bots(self, request: web.Request) -> web.StreamResponse:
        """The gateway's address and the number of shards."""
        _bot(request)
        limits = {"total": 1000, "remaining": 1000, "reset_after": 0, "max_concurrency": 1}
        url = f"ws://127.0.0.1:{self.port}/"
        return json_response({"url": url, "shards": 1, "session_start_limit": limits})

    async def me(self, request: web.Request) -> web.StreamResponse:
        """The bot's user."""
        return json_response(user_payload(_bot(request), bot=True))

    async def application(self, request: web.Request) -> web.StreamResponse:
        """The bot's application."""
        return json_response(application_payload(_bot(request)))

    async def acknowledge(self, request: web.Request) -> web.StreamResponse:
        """The first response to an interaction."""
        body = await request.json()
        token = request.match_info["token"]
        interaction = self.discord_state.interactions.get(token)
        message = self.discord_state.acknowledge(token, body["type"], body.get("data") or {})
        assert interaction is not None
        if message and body["type"] in (Callback.MESSAGE, Callback.DEFERRED_MESSAGE):
            await self.announce(message)
        about = {
            "id": request.match_info["interaction"],
            "type": 2,
            "response_message_id": str(message.id) if message else None,
            "response_message_loading": body["type"] == Callback.DEFERRED_MESSAGE,
            "response_message_ephemeral": bool(message and message.ephemeral),
        }
        resource: dict[str, Any] = {"type": body["type"]}
        # https://discord.com/developers/docs/interactions/receiving-and-responding
        if message and body["type"] in (Callback.MESSAGE, Callback.UPDATE):
            resource["message"] = message_payload(
                self.discord_state, message, interaction.application_id
            )
        return json_response({"interaction": about, "resource": resource})

    async def edit_by_token(self, request: web.Request) -> web.StreamResponse:
        """Edit through the interaction's token."""
        where = request.match_info
        payload, files = await _body(request)
        message = self.discord_state.edit_by_token(
            where["token"], _message_id(self.discord_state, where), payload, files
        )
        return self._message(message, int(where["application"]))

    async def follow_up(self, request: web.Request) -> web.StreamResponse:
        """A follow-up message."""
        payload, files = await _body(request)
        message = self.discord_state.follow_up(request.match_info["token"], payload, files)
        await self.announce(message)
        return self._message(message, int(request.match_info["application"]))

    async def delete_by_token(self, request: web.Request) -> web.StreamResponse:
        """Delete a reply."""
        self.discord_state.messages[
            _message_id(self.discord_state, request.match_info)
        ].deleted = True
        return web.Response(status=204)

    async def publish(self, request: web.Request) -> web.StreamResponse:
        """Replace the bot's commands."""
        extra = {"application_id": str(_bot(request)), "version": "1"}
        # A context menu command has no description.
        bare = {"description": ""}
        sent = enumerate(await request.json(), start=1)
        self.commands = [bare | one | extra | {"id": str(number)} for number, one in sent]
        return json_response(self.commands)

    async def published(self, request: web.Request) -> web.StreamResponse:
        """The bot's commands."""
        _bot(request)
        return json_response(self.commands)

    async def command_permissions(self, request: web.Request) -> web.StreamResponse:
        """The overrides of a command on a server's Integrations page."""
        where = request.match_info
        guild = self.discord_state.guilds.get(int(where["guild"]))
        if guild is None or _bot(request) not in guild.member_roles:
            raise Refusal(403, 50001, "Missing Access")
        found = guild.command_permissions.get(int(where["command"]))
        if found is None:
            raise Refusal(404, 10066, "Unknown application command permissions")
        return json_response({"id": where["command"], "permissions": found})

    async def file(self, request: web.Request) -> web.StreamResponse:
        """An attachment of a command, a sticker, or the target of a link."""
        if request.match_info["name"].startswith("linked"):
            self.agents.append(request.headers.get("User-Agent", ""))
        return web.Response(body=self.cdn[request.match_info["name"]])

    async def edit_by_bot(self, request: web.Request) -> web.StreamResponse:
        """Edit with the bot's own token."""
        where = request.match_info
        payload, files = await _body(request)
        message = self.discord_state.edit_by_bot(
            _bot(request), int(where["channel"]), int(where["message"]), payload, files
        )
        return self._message(message, _bot(request))

    async def post(self, request: web.Request) -> web.StreamResponse:
        """A new message."""
        payload, files = await _body(request)
        channel_id = int(request.match_info["channel"])
        message = self.discord_state.post(_bot(request), channel_id, payload, files)
        await self.announce(message)
        shown = message_payload(self.discord_state, message, _bot(request))
        return json_response(shown | {"nonce": payload.get("nonce")})

    async def get_message(self, request: web.Request) -> web.StreamResponse:
        """A message."""
        where = request.match_info
        message = self.discord_state.message(
            _bot(request), int(where["channel"]), int(where["message"])
        )
        return self._message(message, _bot(request))

    async def delete(self, request: web.Request) -> web.StreamResponse:
        """Delete a message."""
        where = request.match_info
        self.discord_state.delete(_bot(request), int(where["channel"]), int(where["message"]))
        return web.Response(status=204)

    async def history(self, request: web.Request) -> web.StreamResponse:
        """The messages of a channel, without their nonces."""
        bot_id, query = _bot(request), request.query
        found = self.discord_state.history(
            bot_id,
            int(request.match_info["channel"]),
            before=int(query["before"]) if "before" in query else None,
            after=int(query["after"]) if "after" in query else None,
            limit=int(query.get("limit", 50)),
        )
        return json_response([message_payload(self.discord_state, one, bot_id) for one in found])

    async def channel(self, request: web.Request) -> web.StreamResponse:
        """A channel or thread."""
        channel_id = int(request.match_info["channel"])
        self.discord_state.require(_bot(request), channel_id)
        guild = self.discord_state.guild_of(channel_id)
        if guild is None:
            return json_response(dm_payload(channel_id, self.discord_state.dm_channels[channel_id]))
        return json_response(channel_payload(guild.channels[channel_id]))

    async def thread_member(self, request: web.Request) -> web.StreamResponse:
        """A member of a thread."""
        where = request.match_info
        channel_id, user_id = int(where["channel"]), int(where["user"])
        self.discord_state.require(_bot(request), channel_id)
        guild = self.discord_state.guild_of(channel_id)
        if guild is None or user_id not in guild.channels[channel_id].members:
            raise Refusal(404, 10007, "Unknown Member")
        joined = {"id": str(channel_id), "user_id": str(user_id), "flags": 0}
        return json_response(joined | {"join_timestamp": timestamp(0)})

    async def member(self, request: web.Request) -> web.StreamResponse:
        """A member of a guild."""
        where = request.match_info
        guild = self.discord_state.guilds.get(int(where["guild"]))
        if guild is None or _bot(request) not in guild.member_roles:
            raise Refusal(403, 50001, "Missing Access")
        if int(where["user"]) not in guild.member_roles:
            raise Refusal(404, 10007, "Unknown Member")
        return json_response(member_payload(guild, int(where["user"])))

    async def attachment(self, request: web.Request) -> web.StreamResponse:
        """A file of a message."""
        where = request.match_info
        message = self.discord_state.messages.get(int(where["message"]))
        if message is None or message.deleted or where["name"] not in message.files:
            raise web.HTTPNotFound
        return web.Response(body=message.files[where["name"]])

    async def open_dm(self, request: web.Request) -> web.StreamResponse:
        """The channel for direct messages with a user."""
        _bot(request)
        user_id = int((await request.json())["recipient_id"])
        channel_id = self.discord_state.open_dm(user_id)
        return json_response(dm_payload(channel_id, user_id))

    def _message(self, message: Message, bot_id: int) -> web.Response:
        return json_response(message_payload(self.discord_state, message, bot_id))


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
            web.get(api + "/applications/{application}/commands", discord.published),
            web.get(
                api + "/applications/{application}/guilds/{guild}/commands/{command}/permissions",
                discord.command_permissions,
            ),
            web.get("/cdn/{name}", discord.file),
            web.get("/stickers/{name}", discord.file),
            web.patch(messages + "/{message}", discord.edit_by_bot),
            web.get(messages + "/{message}", discord.get_message),
            web.delete(messages + "/{message}", discord.delete),
            web.post(messages, discord.post),
            web.get(messages, discord.history),
            web.post(api + "/users/@me/channels", discord.open_dm),
            web.get(api + "/channels/{channel}", discord.channel),
            web.get(api + "/channels/{channel}/thread-members/{user}", discord.thread_member),
            web.get(api + "/guilds/{guild}/members/{user}", discord.member),
            web.get("/attachments/{channel}/{message}/{name}", discord.attachment),
        ]
    )
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    discord.port = runner.addresses[0][1]
    discord_state.cdn = f"http://127.0.0.1:{discord.port}"
    try:
        yield discord
    finally:
        await runner.cleanup()


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
