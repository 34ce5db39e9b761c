"""Refusals arrive although connections break and Discord has temporary errors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot import replies
from bot.app import open_bot
from tests.support.bots.minimal_bot import point_discord_py_at
from tests.support.fake_discord.faults import Fault
from tests.support.fake_discord.objects import Message, Refusal
from tests.support.fake_discord.server import FakeDiscord, fake_discord
from tests.support.fake_discord.state import DiscordState
from tests.support.pictures import file_of, photo
from tests.support.services import ScriptedService
from tests.support.simulated_discord import settings_for

APPLICATION = 1001
WEBHOOK = "/api/v10/webhooks/{application}/{token}"
CALLBACK = "POST /api/v10/interactions/{interaction}/{token}/callback"
EDIT = f"PATCH {WEBHOOK}/messages/{{message}}"
FOLLOW_UP = f"POST {WEBHOOK}"
DELETE = f"DELETE {WEBHOOK}/messages/{{message}}"
DELETE_MESSAGE = "DELETE /api/v10/channels/{channel}/messages/{message}"
# The names that discord.py gives to its tasks for commands, and for buttons.
HANDLERS = ("CommandTree-invoker", "discord-ui-")
# Refused at once, and after the reply was deferred.
AT_ONCE = {"prompt": "   "}
DEFERRED = {"prompt": "a fox", "image": b"this is not a picture"}


@pytest.fixture
async def discord(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeDiscord]:
    """The fake Discord with the whole bot connected to it."""
    for name in ("FIRST_PAUSE", "RESPONSE_SECONDS"):
        monkeypatch.setattr(replies, name, 0.01)
    async with fake_discord(DiscordState()) as server:
        point_discord_py_at(server.port)
        async with open_bot(settings_for(tmp_path), ScriptedService()) as bot, bot:
            await bot.login(f"token-of-{APPLICATION}")
            async with bot.services.runner:
                gateway = asyncio.create_task(bot.connect())
                await asyncio.wait_for(server.gateway.wait_ready(APPLICATION), 30)
                yield server
                gateway.cancel()
                await asyncio.gather(gateway, return_exceptions=True)


async def shown(discord: FakeDiscord, channel: int, text: str) -> None:
    """Wait until a message in the channel shows the text."""
    async with asyncio.timeout(60):
        while not any(text in message.text for message in visible(discord, channel)):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def handled() -> None:
    """Wait until the bot has handled every command and button."""
    async with asyncio.timeout(60):
        while running := [t for t in asyncio.all_tasks() if t.get_name().startswith(HANDLERS)]:
            await asyncio.wait(running)


def visible(discord: FakeDiscord, channel: int) -> list[Message]:
    return [
        message
        for message in discord.discord_state.messages.values()
        if message.channel_id == channel and not message.deleted
    ]


FAULTS = (*Fault, Refusal(503, 0, "down"), Refusal(400, 130000, "overloaded"))


def set_event_wait(monkeypatch: pytest.MonkeyPatch, fault: Fault | Refusal) -> None:
    """How long a follow-up waits for its event. Only a request that was carried out has one."""
    carried_out = isinstance(fault, Fault) and fault is not Fault.LOST
    monkeypatch.setattr(replies, "EVENT_SECONDS", 60.0 if carried_out else 0.01)


@pytest.mark.parametrize("private", [False, True])
async def test_a_refusal_arrives_whatever_breaks_once(
    discord: FakeDiscord,
    monkeypatch: pytest.MonkeyPatch,
    subtests: pytest.Subtests,
    private: bool,
) -> None:
    channel = 5000 + 1000 * private
    for route in (EDIT, FOLLOW_UP, DELETE):
        for fault in FAULTS:
            with subtests.test(route=route, fault=str(fault)):
                channel += 10
                set_event_wait(monkeypatch, fault)
                discord.faults.clear()
                discord.faults[route] = [fault]
                await discord.command(
                    APPLICATION, channel, channel + 1, "img2img", private=private, **DEFERRED
                )
                await shown(discord, channel, "That file is not a picture")
                await handled()
                [told] = visible(discord, channel)
                assert "That file is not a picture" in told.text
                assert told.ephemeral


async def test_a_refusal_at_once_arrives_although_its_connection_breaks(
    discord: FakeDiscord, subtests: pytest.Subtests
) -> None:
    channel = 8000
    for fault in Fault:
        with subtests.test(fault=fault.name):
            channel += 10
            discord.faults.clear()
            discord.faults[CALLBACK] = [fault]
            await discord.command(APPLICATION, channel, channel + 1, "img2img", **AT_ONCE)
            await shown(discord, channel, "prompt is empty")
            await handled()
            assert len(visible(discord, channel)) == 1


async def test_a_command_whose_acknowledgement_breaks_ends_in_a_sentence(
    discord: FakeDiscord,
) -> None:
    """It arrived, and the user sees "thinking…"; the bot saw a broken connection only."""
    discord.faults[CALLBACK] = [Fault.RESET]
    await discord.command(APPLICATION, 9000, 9001, "img2img", **DEFERRED)
    await shown(discord, 9000, "Something went wrong")


async def test_where_no_ephemeral_reply_is_possible_the_message_holds_the_sentence(
    discord: FakeDiscord,
) -> None:
    discord.faults[FOLLOW_UP] = [Refusal(403, 50013, "no")]
    await discord.command(APPLICATION, 9100, 9101, "img2img", **DEFERRED)
    await shown(discord, 9100, "That file is not a picture")


async def test_a_refusal_after_a_button_arrives_once_whatever_breaks(
    discord: FakeDiscord, monkeypatch: pytest.MonkeyPatch, subtests: pytest.Subtests
) -> None:
    """The reply is a message of its own, beside the one with the button."""
    channel = 9200
    for fault in FAULTS:
        with subtests.test(fault=str(fault)):
            channel += 10
            copy = await shown_copy(discord, channel)
            set_event_wait(monkeypatch, fault)
            discord.faults.clear()
            discord.faults[DELETE_MESSAGE] = [Refusal(403, 50013, "no")]
            discord.faults[FOLLOW_UP] = [fault]
            await press_delete(discord, channel, copy)
            sentence = "I may not delete the message"
            await shown(discord, channel, sentence)
            await handled()
            assert sum(sentence in message.text for message in visible(discord, channel)) == 1


@pytest.mark.parametrize("fault", [Fault.LOST, Fault.RESET], ids=lambda fault: fault.name)
async def test_a_refusal_arrives_where_discord_sends_no_events(
    discord: FakeDiscord, monkeypatch: pytest.MonkeyPatch, fault: Fault
) -> None:
    """It may be shown twice there."""

    async def silent(_: Message) -> None:
        pass

    monkeypatch.setattr(discord, "announce", silent)
    monkeypatch.setattr(replies, "EVENT_SECONDS", 0.01)
    discord.faults[FOLLOW_UP] = [fault]
    await discord.command(APPLICATION, 9400, 9401, "img2img", **DEFERRED)
    await shown(discord, 9400, "That file is not a picture")


async def shown_copy(discord: FakeDiscord, channel: int) -> Message:
    """A picture of a user, and the private message in which `/show` shows it."""
    picture = {"prompt": "a fox", "image": file_of(photo(96, 64))}
    await discord.command(APPLICATION, channel, channel + 1, "img2img", **picture)
    await shown(discord, channel, "a fox")
    async with asyncio.timeout(60):
        while not any(message.files for message in visible(discord, channel)):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await discord.command(APPLICATION, channel, channel + 1, "show")
    async with asyncio.timeout(60):
        while True:
            for message in visible(discord, channel):
                if message.ephemeral and message.files:
                    return message
            await asyncio.sleep(0.01)


async def press_delete(discord: FakeDiscord, channel: int, message: Message) -> None:
    [custom_id] = [id_ for id_ in message.custom_ids if id_.startswith("redraw:delete:")]
    await discord.click(APPLICATION, channel + 1, message, custom_id)
