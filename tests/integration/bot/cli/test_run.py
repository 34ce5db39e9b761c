"""`python -m bot run` as a process, against the fake Discord: start, network errors, stop."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.support.bots.full_bot_process import APPLICATION, running_bot, stop
from tests.support.fake_discord.faults import Fault
from tests.support.fake_discord.message_payloads import SIGNATURE
from tests.support.fake_discord.objects import Refusal
from tests.support.fake_discord.server import FakeDiscord, fake_discord
from tests.support.fake_discord.state import DiscordState

API = "/api/v10"
LOGIN = f"GET {API}/users/@me"
SYNC = f"PUT {API}/applications/{{application}}/commands"
EDIT = f"PATCH {API}/webhooks/{{application}}/{{token}}/messages/{{message}}"
GATEWAY = f"GET {API}/gateway/bot"


@pytest.fixture
async def discord() -> AsyncIterator[FakeDiscord]:
    async with fake_discord(DiscordState(content_intent={APPLICATION})) as server:
        yield server


@pytest.mark.parametrize(
    ("route", "fault"),
    [
        pytest.param(LOGIN, Fault.LOST, id="the connection breaks at login"),
        pytest.param(SYNC, Fault.LOST, id="the connection breaks at sync"),
        pytest.param(GATEWAY, Fault.LOST, id="the connection breaks before the gateway"),
        pytest.param(LOGIN, Refusal(520, 0, "down"), id="520 at login"),
        pytest.param(SYNC, Refusal(520, 0, "down"), id="520 at sync"),
        pytest.param(GATEWAY, Refusal(520, 0, "down"), id="520 before the gateway"),
    ],
)
async def test_network_errors_at_the_start_are_retried(
    discord: FakeDiscord, tmp_path: Path, route: str, fault: Fault | Refusal
) -> None:
    discord.faults[route] = [fault] * 2
    async with running_bot(discord.port, tmp_path, worker=False) as (process, log):
        async with asyncio.timeout(60):
            await discord.gateway.wait_ready(APPLICATION)
        assert await stop(process) == 0
        text = (await log).decode()
    assert "Discord cannot be reached" in text
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


@pytest.mark.parametrize("broken", [True, False])
async def test_a_lost_gateway_connection_is_named_without_a_traceback(
    discord: FakeDiscord, tmp_path: Path, broken: bool
) -> None:
    async with running_bot(discord.port, tmp_path, worker=False) as (process, log):
        async with asyncio.timeout(60):
            await discord.gateway.wait_ready(APPLICATION)
            socket = discord.gateway.connections[APPLICATION, 0].socket
            if broken:
                assert socket._req is not None
                assert socket._req.transport is not None
                socket._req.transport.abort()
            else:
                await socket.close(code=1000)
            while (APPLICATION, 0) in discord.gateway.connections:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            await discord.gateway.wait_ready(APPLICATION)
        assert await stop(process) == 0
        text = (await log).decode()
    assert "Traceback" not in text


@pytest.mark.parametrize("level", ["DEBUG", "INFO"])
async def test_a_whole_run_logs_no_secret_and_no_prompt(
    discord: FakeDiscord, tmp_path: Path, level: str
) -> None:
    """Accepted, refused, cancelled and broken requests, with signed attachment links."""
    out = io.BytesIO()
    Image.linear_gradient("L").convert("RGB").save(out, "PNG")
    prompt = "quokka-in-a-teapot " * 30
    state = discord.discord_state
    settings: Any = {"LOG_LEVEL": level, "MODERATION": "false"}
    async with running_bot(discord.port, tmp_path, **settings) as (process, log):
        async with asyncio.timeout(180):
            await discord.gateway.wait_ready(APPLICATION)
            images = (out.getvalue(), b"not a picture", out.getvalue())
            for number, image in enumerate(images):
                channel = 4000 + 10 * number
                if number == 2:
                    discord.faults[EDIT] = [Fault.RESET, Refusal(400, 50035, "Invalid Form Body")]
                await discord.command(
                    APPLICATION, channel, channel + 1, "img2img", prompt=prompt, image=image
                )
                while not any(  # noqa: ASYNC110
                    m.channel_id == channel
                    and (
                        m.files or "Discord refused" in m.text or "file is not a picture" in m.text
                    )
                    for m in state.messages.values()
                ):
                    await asyncio.sleep(0.05)
        assert await stop(process) == 0
        text = (await log).decode()
    assert ("DEBUG" in text) is (level == "DEBUG")
    secrets = [
        "quokka",
        SIGNATURE,
        f"token-of-{APPLICATION}",
        *(interaction.token for interaction in state.interactions.values()),
    ]
    assert [secret for secret in secrets if secret in text] == []
