"""Messages in the form of recorded ones, through discord.py and the real cogs.

`tests/support/fake_discord/recorded_shapes.py` names the sources of the forms; the values are new.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.bots.whole_bot import BOT, WholeBot, open_whole_bot, picture_file
from tests.support.fake_discord.guild import Channel, Guild
from tests.support.fake_discord.message_payloads import SIGNED
from tests.support.fake_discord.objects import HAS_SNAPSHOT, Message
from tests.support.fake_discord.state import DiscordState
from tests.support.fake_discord.validation import IS_COMPONENTS_V2

ALICE, BOB, OTHER_BOT = 12 * 10**17, 13 * 10**17, 14 * 10**17
GUILD, TEXT = 2 * 10**18, 10**18


@asynccontextmanager
async def running(folder: Path, *, intent: bool = True) -> AsyncIterator[WholeBot]:
    """A server with two users and another bot."""
    state = DiscordState()
    guild = state.guilds[GUILD] = Guild(GUILD)
    guild.add_bot(BOT)
    guild.add_bot(OTHER_BOT)
    for user in (ALICE, BOB):
        guild.add_member(user)
    guild.add_channel(Channel(TEXT, GUILD))
    if intent:
        state.content_intent.add(BOT)
    async with open_whole_bot(folder, state, message_content=intent) as bot:
        bot.discord.cdn["cat.png"] = picture_file("orange")
        yield bot


def media(bot: WholeBot, **fields: Any) -> dict[str, Any]:
    """A media item that Discord has resolved."""
    url = f"{bot.state.cdn}/cdn/cat.png{SIGNED}"
    return {
        "url": url,
        "proxy_url": url,
        "width": 96,
        "height": 64,
        "placeholder": "GCkKJAZpi6t7h2X1logwUgZUZQ==",
        "placeholder_version": 1,
        "content_scan_metadata": {"version": 1, "flags": 0},
        "content_type": "image/png",
        "loading_state": 2,
        "flags": 0,
        **fields,
    }


def text(content: str, id_: int) -> dict[str, Any]:
    return {"type": 10, "id": id_, "content": content}


def other_media(bot: WholeBot, kind: str) -> list[dict[str, Any]]:
    """Components of another bot's message, with a picture in one of them."""
    item = {"media": media(bot), "description": None, "spoiler": False}
    match kind:
        case "gallery":
            video = {"media": media(bot, content_type="video/mp4"), "description": "a film"}
            shown = {"type": 12, "id": 3, "items": [video | {"spoiler": False}, item]}
        case "thumbnail":
            accessory = {"type": 11, "id": 4, **item}
            shown = {"type": 9, "id": 3, "components": [text("Hi", 5)], "accessory": accessory}
        case "file":
            shown = {"type": 13, "id": 3, "file": media(bot), "name": "cat.png", "size": 400}
            shown["spoiler"] = False
        case _:
            raise AssertionError(kind)
    inside = [text("A picture", 2), shown, {"type": 14, "id": 6, "spacing": 2, "divider": True}]
    return [
        # A kind of component that discord.py does not know.
        {"type": 999, "id": 20, "new_field": {"label": "new"}},
        {"type": 17, "id": 1, "accent_color": None, "spoiler": False, "components": inside},
    ]


async def redraw_this(bot: WholeBot, target: Message) -> list[bytes]:
    """Alice uses *Redraw this*; the pictures of the answer."""
    opened = await bot.message_command(ALICE, "Redraw this", target)
    assert opened.interaction is not None
    assert opened.interaction.modal is not None, opened.text
    return (await bot.submit(opened.interaction, {1: "a fox"})).pictures


@pytest.mark.parametrize("kind", ["gallery", "thumbnail", "file"])
async def test_a_picture_in_components_of_another_bot(tmp_path: Path, kind: str) -> None:
    async with running(tmp_path, intent=False) as bot:
        flags = IS_COMPONENTS_V2
        shown = other_media(bot, kind)
        message = await bot.discord.write(OTHER_BOT, TEXT, components=shown, flags=flags)
        assert len(await redraw_this(bot, message)) == 1


@pytest.mark.parametrize("sticker", [False, True])
async def test_a_forward_with_the_recorded_fields(tmp_path: Path, sticker: bool) -> None:
    """Its snapshot has no `mention_roles`, and its attachment has a title."""
    async with running(tmp_path) as bot:
        url = f"{bot.state.cdn}/cdn/cat.png{SIGNED}"
        attachment = {
            "id": "900",
            "filename": "cat.png",
            "title": "My cat",
            "size": len(bot.discord.cdn["cat.png"]),
            "url": url,
            "proxy_url": url,
            "width": 96,
            "height": 64,
            "content_type": "image/png",
            "original_content_type": "image/png",
            "content_scan_version": 4,
            "placeholder": "+vcFBoBViIhahoeGh/eIaHl6mKwAQ5U=",
            "placeholder_version": 1,
        }
        stickers = [{"id": str(16 * 10**17), "name": "Wave", "format_type": 3}] if sticker else []
        snapshot = {
            "type": 0,
            "timestamp": "2026-11-01T10:00:00.000000+00:00",
            "mentions": [],
            "flags": 0,
            "embeds": [],
            "edited_timestamp": None,
            "content": f"<@&{GUILD}> look",
            "components": [],
            "attachments": [] if sticker else [attachment],
            **({"sticker_items": stickers} if sticker else {}),
        }
        await bot.discord.write(BOB, TEXT, snapshots=[snapshot], flags=HAS_SNAPSHOT)
        replies = await bot.command(TEXT, ALICE, "img2img", prompt="a fox")
        assert len(replies.pictures) == (not sticker)
        assert ("vector animation" in replies.text) is sticker


async def test_the_events_of_the_bots_own_private_messages_are_no_requests(
    tmp_path: Path,
) -> None:
    """Discord sends them as those of direct messages, in which a picture is a request."""
    async with running(tmp_path) as bot:
        made = await bot.redraw(TEXT, ALICE, private=True)
        assert made.ephemeral
        await bot.click(ALICE, made, "compare")
        assert len(bot.service.requests) == 1


async def test_a_history_with_a_reply_to_a_forward_is_read(tmp_path: Path) -> None:
    """In the message that is replied to, the snapshot has no `type`."""
    async with running(tmp_path) as bot:
        await bot.discord.write(BOB, TEXT, "my cat", files={"cat.png": picture_file()})
        snapshot = {
            "type": 0,
            "timestamp": "2026-11-01T10:00:00.000000+00:00",
            "mentions": [],
            "flags": 0,
            "embeds": [],
            "edited_timestamp": None,
            "content": "news",
            "components": [],
            "attachments": [],
        }
        forward = await bot.discord.write(BOB, TEXT, snapshots=[snapshot], flags=HAS_SNAPSHOT)
        await bot.write(BOB, TEXT, "really?", reply_to=forward.id)
        replies = await bot.command(TEXT, ALICE, "img2img", prompt="a fox")
        assert len(replies.pictures) == 1
