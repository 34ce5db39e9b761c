"""The fake Discord's payloads have the fields and types of recorded ones."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.fake_discord.guild import Channel, ChannelType, Guild
from tests.support.fake_discord.guild_payloads import author_payload, user_payload
from tests.support.fake_discord.guild_state import HOME_GUILD
from tests.support.fake_discord.message_payloads import full_message_payload, message_payload
from tests.support.fake_discord.objects import HAS_SNAPSHOT, Message
from tests.support.fake_discord.payloads import command_payload, interaction_payload
from tests.support.fake_discord.recorded_shapes import (
    AUTHOR,
    CONTAINER,
    DM_CHANNEL,
    IN_SERVER,
    INTERACTION,
    MESSAGE,
    METADATA,
    REFERENCE,
    TEXT_CHANNEL,
    THREAD_CHANNEL,
    USER,
    differences,
)
from tests.support.fake_discord.state import DiscordState
from tests.support.fake_discord.users import COMPONENT
from tests.support.fake_discord.validation import IS_COMPONENTS_V2
from tests.support.pictures import file_of, photo

BOT, ALICE = 1001, 2001
TEXT, THREAD, ELSEWHERE, BETWEEN, OTHER_GUILD = 10, 11, 20, 30, 8


@pytest.fixture
def state() -> DiscordState:
    """Alice is in a server with the bot and in one without it."""
    state = DiscordState()
    home = state.guilds[HOME_GUILD]
    home.add_bot(BOT)
    home.add_channel(Channel(TEXT, HOME_GUILD))
    thread = Channel(THREAD, HOME_GUILD, ChannelType.PRIVATE_THREAD, parent_id=TEXT)
    thread.members = {ALICE, BOT}
    home.add_channel(thread)
    other = state.guilds[OTHER_GUILD] = Guild(OTHER_GUILD)
    other.add_channel(Channel(ELSEWHERE, OTHER_GUILD))
    for guild in (home, other):
        guild.add_member(ALICE)
    state.private_channels.add(BETWEEN)
    return state


def written(state: DiscordState, **fields: Any) -> Message:
    message = state.add(TEXT, ALICE)
    for name, value in {"files": {"cat.png": file_of(photo())}, **fields}.items():
        setattr(message, name, value)
    return message


@pytest.mark.parametrize(
    ("channel", "shape", "owners"),
    [
        (TEXT, IN_SERVER | {"channel": TEXT_CHANNEL}, {"0": str(HOME_GUILD)}),
        (THREAD, IN_SERVER | {"channel": THREAD_CHANNEL}, {"0": str(HOME_GUILD)}),
        (ELSEWHERE, IN_SERVER | {"channel": TEXT_CHANNEL}, {"1": str(ALICE)}),
        (BETWEEN, INTERACTION | {"channel": DM_CHANNEL, "user": USER}, {"1": str(ALICE)}),
    ],
    ids=["server", "private thread", "user install in a server", "user install between users"],
)
def test_interactions(
    state: DiscordState, channel: int, shape: Any, owners: dict[str, str]
) -> None:
    interaction = state.interact(BOT, channel, ALICE)
    data = command_payload("img2img", {"prompt": "a fox"}, 1)
    payload = interaction_payload(state, interaction, 2, data)
    assert differences(payload, shape) == []
    assert payload["authorizing_integration_owners"] == owners


def test_a_message_with_an_attachment_and_its_author(state: DiscordState) -> None:
    assert differences(message_payload(state, written(state), BOT), MESSAGE) == []
    assert differences(author_payload(state.guilds[HOME_GUILD], ALICE), AUTHOR) == []
    assert differences(user_payload(BOT, bot=True), USER) == []


def test_a_reply_has_one_level(state: DiscordState) -> None:
    """The message that is replied to is itself a reply; that is not sent."""
    state.content_intent.add(BOT)
    first = written(state)
    second = written(state, replied_to=first.id)
    payload = message_payload(state, written(state, replied_to=second.id), BOT)
    shape = MESSAGE | {"message_reference": REFERENCE, "referenced_message": MESSAGE}
    assert differences(payload, shape) == []


def test_a_forward_and_a_reply_to_it(state: DiscordState) -> None:
    state.content_intent.add(BOT)
    snapshot = {
        "type": 0,
        "content": "look",
        "timestamp": "2026-11-01T10:00:00.000000+00:00",
        "edited_timestamp": None,
        "flags": 0,
        "attachments": [],
        "embeds": [],
        "mentions": [],
        "components": [],
    }
    forward = written(state, files={}, snapshots=[snapshot], flags=HAS_SNAPSHOT)
    payload = message_payload(state, forward, BOT)
    assert payload["message_snapshots"] == [{"message": snapshot}]
    assert differences(payload["message_reference"], REFERENCE) == []
    reply = message_payload(state, written(state, replied_to=forward.id), BOT)
    [inner] = reply["referenced_message"]["message_snapshots"]
    expected = {"attachments", "content", "edited_timestamp", "embeds", "flags", "timestamp"}
    assert inner["message"].keys() == expected


def test_a_message_of_components(state: DiscordState) -> None:
    """The files that components show are not listed as attachments."""
    interaction = state.interact(BOT, TEXT, ALICE)
    state.defer(interaction.token)
    gallery = {"type": 12, "items": [{"media": {"url": "attachment://cat.png"}}]}
    content = {
        "flags": IS_COMPONENTS_V2,
        "components": [{"type": 17, "components": [gallery]}],
        "attachments": [],
    }
    files = {"cat.png": file_of(photo())}
    message = state.edit_by_token(interaction.token, interaction.message_id or 0, content, files)
    payload = full_message_payload(state, message)
    shape = MESSAGE | {
        "components": [CONTAINER],
        "application_id": str,
        "webhook_id": str,
        "interaction_metadata": METADATA,
    }
    assert differences(payload, shape) == []
    assert payload["attachments"] == []
    [container] = payload["components"]
    [item] = container["components"][0]["items"]
    assert item["media"]["url"].endswith("&")
    pressed = state.interact(BOT, TEXT, ALICE, message.id)
    data = {"custom_id": "x", "component_type": 2, "id": 1}
    pressing = interaction_payload(state, pressed, COMPONENT, data)
    expected = IN_SERVER | {"channel": TEXT_CHANNEL, "message": shape}
    assert differences(pressing, expected) == []
