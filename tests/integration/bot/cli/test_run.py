"""`python -m bot run` as a process, against the fake Discord: start, network errors, stop."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.bots.full_bot_process import (
    APPLICATION,
    forked_bot,
    running_bot,
    stop,
    stop_forked,
)
from tests.support.fake_discord.faults import Fault
from tests.support.fake_discord.message_payloads import SIGNATURE, SIGNED
from tests.support.fake_discord.objects import Interaction, Message, Refusal
from tests.support.fake_discord.server import FakeDiscord, fake_discord
from tests.support.fake_discord.state import DiscordState
from tests.support.pictures import file_of, photo

API = "/api/v10"
LOGIN = f"GET {API}/users/@me"
SYNC = f"PUT {API}/applications/{{application}}/commands"
CALLBACK = f"POST {API}/interactions/{{interaction}}/{{token}}/callback"
EDIT = f"PATCH {API}/webhooks/{{application}}/{{token}}/messages/{{message}}"
GATEWAY = f"GET {API}/gateway/bot"


@pytest.fixture
async def discord() -> AsyncIterator[FakeDiscord]:
    async with fake_discord(DiscordState(content_intent={APPLICATION})) as server:
        yield server


async def test_network_errors_at_the_start_are_retried(
    discord: FakeDiscord, tmp_path: Path
) -> None:
    routes = (LOGIN, SYNC, GATEWAY)
    for route in routes:
        discord.faults[route] = [Fault.LOST, Refusal(520, 0, "down")]
    async with running_bot(discord.port, tmp_path, worker=False) as (process, log):
        async with asyncio.timeout(60):
            await discord.gateway.wait_ready(APPLICATION)
        assert await stop(process) == 0
        text = (await log).decode()
    assert [discord.faults[route] for route in routes] == [[], [], []]
    # aiohttp repeats a request whose connection was lost.
    assert text.count("Discord cannot be reached") == len(routes)
    # The default LOG_LEVEL is INFO.
    assert "DEBUG" not in text
    assert "Traceback" not in text
    assert "Unclosed" not in text


async def test_the_bot_waits_until_discord_can_be_reached(tmp_path: Path) -> None:
    tries: asyncio.Queue[None] = asyncio.Queue()

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()
        tries.put_nowait(None)

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with running_bot(port, tmp_path, worker=False) as (process, log):
            async with asyncio.timeout(60):
                for _ in range(10):
                    await tries.get()
            assert process.returncode is None
            assert await stop(process) == 0
            assert "Traceback" not in (await log).decode()


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (4004, "does not accept DISCORD_TOKEN"),
        (4014, "the message content intent is off"),
        (4013, "close code 4013"),
    ],
)
async def test_a_refusal_of_the_gateway_is_one_sentence(
    discord: FakeDiscord, tmp_path: Path, code: int, sentence: str
) -> None:
    discord.gateway.refusals = [code]
    async with running_bot(discord.port, tmp_path, worker=False) as (process, log):
        async with asyncio.timeout(60):
            assert await process.wait() == 1
        text = (await log).decode()
    assert sentence in text.splitlines()[-1]
    assert "Traceback" not in text
    assert "Unclosed" not in text


async def test_a_token_that_is_revoked_while_the_bot_runs_is_one_sentence(
    discord: FakeDiscord, tmp_path: Path
) -> None:
    async with running_bot(discord.port, tmp_path, worker=False) as (process, log):
        async with asyncio.timeout(60):
            await discord.gateway.wait_ready(APPLICATION)
            discord.gateway.refusals = [4004] * 3
            await discord.gateway.connections[APPLICATION, 0].socket.close(code=4009)
            assert await process.wait() == 1
        text = (await log).decode()
    assert "does not accept DISCORD_TOKEN" in text.splitlines()[-1]
    assert "Traceback" not in text
    assert "Unclosed" not in text


async def test_a_lost_gateway_connection_is_named_without_a_traceback(
    discord: FakeDiscord, tmp_path: Path
) -> None:
    """One that Discord closes, and one that breaks."""
    async with running_bot(discord.port, tmp_path, worker=False) as (process, log):
        async with asyncio.timeout(60):
            await discord.gateway.wait_ready(APPLICATION)
            # The first attempt to connect again fails.
            discord.faults["GET /"] = [Refusal(503, 0, "down")]
            for broken in (False, True):
                connection = discord.gateway.connections[APPLICATION, 0]
                if broken:
                    assert connection.socket._req is not None
                    assert connection.socket._req.transport is not None
                    connection.socket._req.transport.abort()
                else:
                    await connection.socket.close(code=1000)
                while discord.gateway.connections.get((APPLICATION, 0)) is connection:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
                await discord.gateway.wait_ready(APPLICATION)
            assert process.returncode is None
        assert await stop(process) == 0
        text = (await log).decode()
    assert "(WSServerHandshakeError: 503" in text
    assert "Traceback" not in text


@dataclass
class Users:
    """Users of a running bot, who wait for what the bot shows them."""

    discord: FakeDiscord

    def shown(self, channel: int, since: int = 0) -> list[Message]:
        """The bot's messages in a channel."""
        messages = self.discord.discord_state.messages.values()
        return [
            message
            for message in messages
            if message.channel_id == channel
            and message.author_id == APPLICATION
            and message.id > since
        ]

    async def answered(self, channel: int, *sentences: str, since: int = 0) -> Message:
        """The first message with a picture or one of the sentences."""
        while True:
            for message in self.shown(channel, since):
                # A preview has another name.
                made = any(name.startswith("redraw-") for name in message.files)
                if made or any(sentence in message.text for sentence in sentences):
                    return message
            await asyncio.sleep(0.05)

    async def redraw(self, channel: int, *sentences: str, **options: Any) -> Message:
        """Send `/img2img`."""
        since = self.discord.discord_state.snowflake()
        await self.discord.command(APPLICATION, channel, channel + 1, "img2img", **options)
        return await self.answered(channel, *sentences, since=since)

    async def press(self, message: Message, action: str) -> Interaction:
        """Press a button of a picture."""
        [custom_id] = [id_ for id_ in message.custom_ids if id_.startswith(f"redraw:{action}:")]
        channel = message.channel_id
        pressed = await self.discord.click(APPLICATION, channel + 1, message, custom_id)
        assert pressed is not None
        return pressed


PICTURE = file_of(photo(128, 96))
QUERY = "&key=wombat-key"


async def test_a_whole_run_logs_no_secret_and_no_prompt(
    discord: FakeDiscord, tmp_path: Path
) -> None:
    """Commands, buttons, a form, a direct message and a link; answers, refusals and bugs.

    With LOG_LEVEL=DEBUG, which logs most.
    """
    prompt = "quokka-in-a-teapot " * 30
    users, state = Users(discord), discord.discord_state
    link = f"http://127.0.0.1:{discord.port}/cdn/linked.png{SIGNED}{QUERY}"
    settings: Any = {
        "LOG_LEVEL": "DEBUG",
        "MODERATION": "false",
        "ALLOWED_HOSTS": "127.0.0.1",
        "ALLOWED_PORTS": str(discord.port),
    }
    async with forked_bot(discord.port, tmp_path, **settings) as (process, log):
        async with asyncio.timeout(180):
            await discord.gateway.wait_ready(APPLICATION)
            made = await users.redraw(4000, prompt=prompt, image=PICTURE)
            refused = await users.redraw(4010, "is not a picture", prompt=prompt, image=b"text")
            # After a refused progress edit no more progress is shown: the answer is refused, too.
            malformed = Refusal(400, 50035, "Invalid Form Body")
            discord.faults[EDIT] = [Fault.RESET, malformed, malformed]
            told = await users.redraw(4020, "Discord refused", prompt=prompt, image=PICTURE)
            discord.faults.clear()
            discord.cdn["linked.png"] = PICTURE
            await users.redraw(4030, prompt=prompt, url=link)
            # A response that discord.py cannot parse is an unexpected error.
            discord.faults[CALLBACK] = [Fault.NO_JSON]
            await users.redraw(4040, "Something went wrong", prompt=prompt, image=PICTURE)
            since = state.snowflake()
            await users.press(made, "again")
            await users.answered(4000, since=since)
            form = await users.press(made, "edit")
            while form.modal is None:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            since = state.snowflake()
            await discord.submit(form, {1: "numbat on a bicycle"})
            await users.answered(4000, since=since)
            state.dm_channels[4050] = 4051
            await discord.write(4051, 4050, "bilby in the rain", files={"cat.png": PICTURE})
            await users.answered(4050)
        assert await stop_forked(process) == 0
        text = log.read_text()
    assert refused.files == told.files == {}
    assert "DEBUG" in text
    # The refused answer is logged with a traceback.
    assert re.search(r"the answer by \w+: .* → MALFORMED\s+Traceback", text)
    secrets = [
        *("quokka", "numbat", "bilby", "wombat-key"),
        SIGNATURE,
        f"token-of-{APPLICATION}",
        *(interaction.token for interaction in state.interactions.values()),
    ]
    assert [secret for secret in secrets if secret in text] == []
    [agent] = discord.agents
    profile = f"https://discord.com/users/{APPLICATION}"
    assert f"(+{profile}; Discord bot; a user sent it this link)" in agent


async def test_a_contact_is_named_instead_of_the_bots_profile(
    discord: FakeDiscord, tmp_path: Path
) -> None:
    settings = {"CONTACT": "https://redraw.example", "MODERATION": "false"}
    hosts = {"ALLOWED_HOSTS": "127.0.0.1", "ALLOWED_PORTS": str(discord.port)}
    async with running_bot(discord.port, tmp_path, worker=False, **settings, **hosts):
        async with asyncio.timeout(60):
            await discord.gateway.wait_ready(APPLICATION)
            discord.cdn["linked.png"] = PICTURE
            link = f"http://127.0.0.1:{discord.port}/cdn/linked.png{QUERY.replace('&', '?')}"
            await Users(discord).redraw(4000, prompt="a fox", url=link)
    [agent] = discord.agents
    assert "(+https://redraw.example; Discord bot;" in agent
