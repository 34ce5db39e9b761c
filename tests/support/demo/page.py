"""The demo's server in this process, and a client that does what its page does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from bot.app import open_bot
from bot.cli.demo import create_server, demo_page
from bot.cli.demo.server import DemoServer, serve
from bot.cli.demo.simulation import Simulation
from inference import InferenceService
from tests.support.bots.edit_limiter import instant_edit_limiter
from tests.support.simulated_discord import settings_for


@dataclass
class PageClient:
    """Talks to the demo as the page's scripts do."""

    server: DemoServer
    session: aiohttp.ClientSession
    statuses: list[int] = field(default_factory=list)

    @property
    def simulation(self) -> Simulation:
        return self.server.simulation

    def place(self, user: str, channel: str = "pictures") -> dict[str, str]:
        """A channel of the server by its name, or `direct`: the user's direct messages."""
        simulation = self.simulation
        user_id = simulation.user(user).id
        place = simulation.direct[user_id] if channel == "direct" else simulation.channel(channel)
        return {"user": str(user_id), "channel": str(place.id)}

    async def act(
        self,
        user: str,
        kind: str,
        files: dict[str, tuple[str, bytes]] | None = None,
        /,
        *,
        channel: str = "pictures",
        **fields: Any,
    ) -> dict[str, Any]:
        """Perform an action; the answer, with `error` if it was refused."""
        with aiohttp.MultipartWriter("form-data") as body:
            part = body.append(json.dumps({**self.place(user, channel), **fields}))
            part.set_content_disposition("form-data", name="fields")
            for name, (filename, data) in (files or {}).items():
                part = body.append(data)
                part.set_content_disposition("form-data", name=name, filename=filename)
        async with self.session.post(f"/actions/{kind}", data=body) as response:
            self.statuses.append(response.status)
            answer: dict[str, Any] = await response.json()
            return answer

    async def view(self, user: str, channel: str = "pictures") -> dict[str, Any]:
        """The channel as the page sees it now."""
        async with self.session.get("/events", params=self.place(user, channel)) as response:
            line = await response.content.readline()
            view: dict[str, Any] = json.loads(line.removeprefix(b"data: "))
            return view

    async def messages(self, user: str, channel: str = "pictures") -> list[dict[str, Any]]:
        messages: list[dict[str, Any]] = (await self.view(user, channel))["messages"]
        return messages

    async def shown(self, user: str, text: str, channel: str = "pictures") -> dict[str, Any]:
        """Wait until a message contains this text; the newest such message."""
        async with asyncio.timeout(30):
            while True:
                messages = await self.messages(user, channel)
                found = [m for m in messages if text in json.dumps(m, ensure_ascii=False)]
                if found:
                    return found[-1]
                await asyncio.sleep(0.05)

    async def gone(self, user: str, message: str, channel: str = "pictures") -> None:
        """Wait until the message with this id is deleted."""
        async with asyncio.timeout(30):
            while message in {shown["id"] for shown in await self.messages(user, channel)}:  # noqa: ASYNC110 - the server is asked again
                await asyncio.sleep(0.05)


@asynccontextmanager
async def open_demo(
    folder: Path, service: InferenceService, *, port: int = 0, **changes: Any
) -> AsyncIterator[PageClient]:
    """The demo with this engine and these settings. Message edits have no rate limit."""
    settings = settings_for(folder, message_content=True, **changes)
    async with open_bot(settings, service, edit_limiter=instant_edit_limiter()) as bot:
        simulation = Simulation(bot)
        async with simulation.open(), bot.services.runner:
            await create_server(simulation)
            async with (
                serve(simulation, demo_page(settings.model), port) as server,
                aiohttp.ClientSession(
                    server.url.split("/?")[0], cookie_jar=aiohttp.CookieJar(unsafe=True)
                ) as session,
            ):
                async with session.get(server.url) as response:
                    assert response.status == 200
                yield PageClient(server, session)


def controls(message: dict[str, Any]) -> list[dict[str, Any]]:
    """Every button and select menu of a message."""
    found: list[dict[str, Any]] = []
    waiting: list[Any] = [message["components"]]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):
            if value.get("custom_id"):
                found.append(value)
            waiting += value.values()
    return found


def button_named(message: dict[str, Any], label: str) -> str:
    """The custom id of the button with this label."""
    return next(
        str(control["custom_id"]) for control in controls(message) if control.get("label") == label
    )


def form_values(answer: dict[str, Any], **texts: str) -> dict[str, Any]:
    """What the page submits: the form's defaults, with some text fields, by label, replaced."""
    values: dict[str, Any] = {}
    for label in answer["modal"]["components"]:
        control = label["component"]
        if control["type"] == 4:
            values[control["custom_id"]] = texts.get(label["label"], control.get("value") or "")
        elif control["type"] == 3:
            chosen = [option["value"] for option in control["options"] if option["default"]]
            values[control["custom_id"]] = chosen
    return values
