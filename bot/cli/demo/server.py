"""The web server of the demo's page: on this machine only, and only for those with its link."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from simcord.actors import MemberActor
from simcord.builders import ChannelHandle

from bot.cli.demo.actions import ActionRefused, File, Outcome
from bot.cli.demo.requests import UPLOAD_BYTES, page_file, picture_type, read_action
from bot.cli.demo.simulation import Simulation
from bot.cli.demo.view import channel_view, chosen, server_view
from bot.i18n.translate import LANGUAGES, catalogue, notice_of, translate

log = logging.getLogger(__name__)

HOST = "127.0.0.1"
# Ports tried after the wanted one, before any free one is taken.
NEXT_PORTS = 10
# How often the page is told what has changed.
PUSH_SECONDS = 0.15
REQUEST_BYTES = 4 * UPLOAD_BYTES
PAGE_TEXTS = "demo.page."
HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; base-uri 'none'",
}


@dataclass(frozen=True, slots=True)
class DemoPage:
    """What the page offers beside the chat: sample pictures, each with a prompt, further prompts,
    and the model's notice."""

    model: str
    samples: Mapping[str, bytes]
    sample_prompts: Mapping[str, str]
    prompts: tuple[str, ...]

    def notice(self, language: str) -> str:
        """What the model can draw and what it cannot; empty for most models."""
        if self.model == "pocket":
            return translate(language, "demo.about_pocket")
        return notice_of(language, self.model)


@asynccontextmanager
async def serve(simulation: Simulation, page: DemoPage, port: int) -> AsyncIterator[DemoServer]:
    """Serve the page, on `port` or, where that is taken, on the next free one; 0 takes any."""
    server = DemoServer(simulation, page)
    runner = web.AppRunner(server.app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        server.port = await _bind(runner, port)
        yield server
    finally:
        server.stopping.set()
        await runner.cleanup()


async def _bind(runner: web.AppRunner, port: int) -> int:
    last_port = min(port + NEXT_PORTS, 65535)
    for candidate in (*range(port, last_port + 1), 0) if port else (0,):
        site = web.TCPSite(runner, HOST, candidate)
        try:
            await site.start()
        except OSError:
            await site.stop()
            continue
        return int(runner.addresses[-1][1])
    raise OSError("no free port")


class DemoServer:
    """Routes of the page. A failed action is one sentence for the page that asked for it."""

    def __init__(self, simulation: Simulation, page: DemoPage) -> None:
        self.simulation = simulation
        self.page = page
        self.port = 0
        self.stopping = asyncio.Event()
        self._key = secrets.token_urlsafe(24)
        self.app = web.Application(middlewares=[self._guard], client_max_size=REQUEST_BYTES)
        self.app.add_routes(
            [
                web.get("/", self._index),
                web.get("/page/{name}", self._static),
                web.get("/samples/{name}", self._sample),
                web.get("/files/{path:.+}", self._file),
                web.get("/server", self._server),
                web.get("/commands", self._commands),
                web.get("/events", self._events),
                web.post("/actions/{kind}", self._action),
            ]
        )

    @property
    def url(self) -> str:
        """The link to the page. It holds the key without which nothing is served."""
        return f"http://{HOST}:{self.port}/?key={self._key}"

    @web.middleware
    async def _guard(
        self,
        request: web.Request,
        handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
    ) -> web.StreamResponse:
        """Serve the link's holder only.

        The key keeps out other users of this machine and other sites' requests; the check of the
        host name keeps out sites that point their own name to this machine (DNS rebinding).
        """
        cookie = f"redraw-demo-{self.port}"
        key = request.query.get("key") or request.cookies.get(cookie, "")
        if request.host not in (f"{HOST}:{self.port}", f"localhost:{self.port}"):
            raise web.HTTPForbidden(text="wrong host name")
        if not secrets.compare_digest(key.encode(), self._key.encode()):
            raise web.HTTPForbidden(text="Open the link that `make demo` printed.")
        response = await handler(request)
        if not response.prepared:
            response.headers.update(HEADERS)
            if request.path == "/":
                response.set_cookie(cookie, key, httponly=True, samesite="Strict")
        return response

    async def _index(self, _request: web.Request) -> web.Response:
        return page_file("index.html")

    async def _static(self, request: web.Request) -> web.Response:
        return page_file(request.match_info["name"])

    async def _sample(self, request: web.Request) -> web.Response:
        data = self.page.samples.get(request.match_info["name"])
        if data is None:
            raise web.HTTPNotFound
        return web.Response(body=data, content_type="image/png")

    async def _file(self, request: web.Request) -> web.Response:
        path = request.match_info["path"]
        data = self.simulation.attachment(f"https://cdn.simcord.invalid/attachments/{path}")
        if data is None:
            raise web.HTTPNotFound
        return web.Response(body=data, headers={"Content-Type": picture_type(data)})

    async def _server(self, _request: web.Request) -> web.Response:
        return web.json_response(
            {
                **server_view(self.simulation),
                "samples": list(self.page.samples),
                "sample_prompts": dict(self.page.sample_prompts),
                "prompts": list(self.page.prompts),
                "notices": {language: self.page.notice(language) for language in LANGUAGES},
                "texts": {
                    language: {
                        key.removeprefix(PAGE_TEXTS): text
                        for key, text in catalogue(language).items()
                        if key.startswith(PAGE_TEXTS)
                    }
                    for language in LANGUAGES
                },
            }
        )

    async def _commands(self, request: web.Request) -> web.Response:
        user, channel = self._place(request.query)
        return web.json_response(
            {
                "slash": self.simulation.commands(user, channel),
                "message": self.simulation.message_commands(user, channel),
            }
        )

    async def _events(self, request: web.Request) -> web.StreamResponse:
        """A stream of the channel's state: one event for each change."""
        user, channel = self._place(request.query)
        response = web.StreamResponse(headers={**HEADERS, "Content-Type": "text/event-stream"})
        await response.prepare(request)
        seen, sent = -1, ""
        with contextlib.suppress(ConnectionResetError):
            while not self.stopping.is_set():
                if seen != self.simulation.version:
                    seen = self.simulation.version
                    state = json.dumps(channel_view(self.simulation, user, channel))
                    if state != sent:
                        await response.write(f"data: {state}\n\n".encode())
                        sent = state
                await asyncio.sleep(PUSH_SECONDS)
                if request.transport is None:
                    return response
            await response.write(b"event: end\ndata: {}\n\n")
        return response

    async def _action(self, request: web.Request) -> web.Response:
        language = request.query.get("language", "en")
        try:
            fields, uploads = await read_action(request)
            outcome = await self._perform(request.match_info["kind"], fields, uploads)
        except ActionRefused as error:
            sentence = error.translated(language)
            return web.json_response({"error": sentence}, status=409)
        except (KeyError, TypeError, ValueError) as error:
            return web.json_response({"error": f"malformed request: {error!r}"}, status=400)
        except Exception:
            log.exception("action %s of the page", request.match_info["kind"])
            sentence = translate(language, "demo.page.failed")
            return web.json_response({"error": sentence}, status=500)
        return web.json_response(
            {"modal": outcome.modal, "modal_id": outcome.modal_id, "choices": outcome.choices}
        )

    async def _perform(
        self, kind: str, fields: dict[str, Any], uploads: dict[str, list[File]]
    ) -> Outcome:
        user, channel = self._place(fields)
        simulation = self.simulation
        match kind:
            case "locale":
                simulation.set_locale(user.id, fields["locale"])
            case "send":
                await simulation.send(
                    user,
                    channel,
                    fields["content"],
                    reply_to=int(fields["reply_to"]) if fields.get("reply_to") else None,
                    files=uploads.get("files"),
                )
            case "delete":
                await simulation.delete(user, channel, int(fields["message"]))
            case "react":
                await simulation.react(user, channel, int(fields["message"]), fields["emoji"])
            case "slash":
                attached = {name: given[0] for name, given in uploads.items()}
                return await simulation.slash(
                    user, channel, fields["path"], fields["options"], attached
                )
            case "autocomplete":
                return await simulation.autocomplete(
                    user, channel, fields["path"], fields["option"], fields["typed"]
                )
            case "menu":
                return await simulation.menu(user, channel, fields["name"], int(fields["message"]))
            case "click":
                return await simulation.click(
                    user, channel, int(fields["message"]), fields["custom_id"]
                )
            case "select":
                values = chosen(simulation, fields["values"])
                return await simulation.select(
                    user, channel, int(fields["message"]), fields["custom_id"], values
                )
            case "submit":
                return await simulation.submit(fields["modal"], {**fields["values"], **uploads})
            case _:
                raise ValueError(f"no action {kind}")
        return Outcome()

    def _place(self, fields: Mapping[str, Any]) -> tuple[MemberActor, ChannelHandle]:
        try:
            user = self.simulation.users[int(fields["user"])]
            return user, self.simulation.channels_of(user)[int(fields["channel"])]
        except (KeyError, ValueError) as error:
            raise web.HTTPNotFound from error
