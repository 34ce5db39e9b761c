"""Mentions, replies, forwards and direct messages as Discord sends them, with and without the
message content intent, through the real cogs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.bots.whole_bot import BOT, WholeBot, open_whole_bot, picture_file
from tests.support.fake_discord.guild import Channel, Guild, Overwrite, Permission
from tests.support.fake_discord.objects import HAS_SNAPSHOT
from tests.support.fake_discord.state import DiscordState

ALICE, BOB = 12 * 10**17, 13 * 10**17
GUILD, TEXT, DM = 2 * 10**18, 10**18, 10**18 + 1
CAT = {"cat.png": picture_file("orange")}
MENTION = f"<@{BOT}>"


def forwarded(**fields: Any) -> dict[str, Any]:
    """The message in a snapshot, as the documents show it."""
    return {
        "type": 0,
        "content": "",
        "embeds": [],
        "attachments": [],
        "components": [],
        "timestamp": "2026-01-01T00:00:00+00:00",
        "edited_timestamp": None,
        "flags": 0,
        "mentions": [],
        "mention_roles": [],
        **fields,
    }


@asynccontextmanager
async def running(folder: Path, *, intent: bool = False, **changes: Any) -> AsyncIterator[WholeBot]:
    """One server with one channel, and Alice's direct messages."""
    state = DiscordState()
    guild = state.guilds[GUILD] = Guild(GUILD)
    guild.add_bot(BOT)
    for user in (ALICE, BOB):
        guild.add_member(user)
    guild.add_channel(Channel(TEXT, GUILD))
    state.dm_channels[DM] = ALICE
    if intent:
        state.content_intent.add(BOT)
    async with open_whole_bot(folder, state, message_content=intent, **changes) as bot:
        yield bot


async def test_a_reply_that_only_pings_is_not_a_request(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        made = await bot.redraw(TEXT, ALICE)
        replies = await bot.write(BOB, TEXT, "thanks!", reply_to=made.id)
        assert replies.messages == []
        replies = await bot.write(BOB, TEXT, "like this?", reply_to=made.id, files=CAT)
        assert replies.messages == []


async def test_a_typed_mention_in_a_reply_redraws_the_bots_picture(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        made = await bot.redraw(TEXT, ALICE)
        replies = await bot.write(BOB, TEXT, f"{MENTION} in winter", reply_to=made.id)
        assert len(replies.pictures) == 1
        assert "in winter" in replies.text


async def test_a_mention_with_a_picture_is_a_request(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        replies = await bot.write(ALICE, TEXT, f"{MENTION} a fox", files=CAT)
        assert len(replies.pictures) == 1
        assert bot.service.requests[0].prompt == "a fox"


@pytest.mark.parametrize("intent", [False, True])
async def test_a_mention_in_reply_to_anothers_photograph(tmp_path: Path, intent: bool) -> None:
    """Without the intent the photograph is not sent; the sentence names what works."""
    async with running(tmp_path, intent=intent) as bot:
        photo = await bot.discord.write(BOB, TEXT, "my cat", files=CAT)
        replies = await bot.write(ALICE, TEXT, f"{MENTION} a fox", reply_to=photo.id)
        assert bool(replies.pictures) is intent
        assert ("Redraw this" in replies.text) is not intent


async def test_redraw_this_works_without_the_intent(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        photo = await bot.discord.write(BOB, TEXT, "my cat", files=CAT)
        replies = await bot.message_command(ALICE, "Redraw this", photo)
        assert replies.interaction is not None
        assert replies.messages == []
        sent = await bot.submit(replies.interaction, {1: "a fox"})
        assert len(sent.pictures) == 1
        assert bot.service.requests[0].prompt == "a fox"


@pytest.mark.parametrize("intent", [False, True])
async def test_the_newest_picture_is_never_silently_an_older_one(
    tmp_path: Path, intent: bool
) -> None:
    async with running(tmp_path, intent=intent) as bot:
        await bot.redraw(TEXT, ALICE)
        await bot.discord.write(BOB, TEXT, "", files=CAT)
        replies = await bot.command(TEXT, ALICE, "img2img", prompt="a fox")
        if intent:
            assert len(replies.pictures) == 1
            assert "cat.png" in replies.text
        else:
            assert replies.pictures == []
            assert "Redraw this" in replies.text


async def test_the_bots_managed_role_is_a_typed_mention(tmp_path: Path) -> None:
    async with running(tmp_path, intent=True) as bot:
        replies = await bot.write(ALICE, TEXT, f"<@&{BOT + 500}> a fox", files=CAT)
        assert len(replies.pictures) == 1
        assert bot.service.requests[0].prompt == "a fox"


async def test_a_direct_message_with_a_picture_is_a_request(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        replies = await bot.write(ALICE, DM, "a fox", files=CAT)
        assert len(replies.pictures) == 1
        assert (await bot.write(ALICE, DM, "hello there")).pictures == []


async def test_direct_messages_can_be_turned_off(tmp_path: Path) -> None:
    async with running(tmp_path, direct_messages="off") as bot:
        replies = await bot.write(ALICE, DM, "a fox", files=CAT)
        assert replies.pictures == []
        assert bot.service.requests == []


@pytest.mark.parametrize(
    ("target", "kind", "allowed"),
    [("user", 2, False), ("role", 1, False), ("channel", 3, False), ("user", 2, True)],
)
async def test_a_mention_follows_the_integrations_page(
    tmp_path: Path, target: str, kind: int, allowed: bool
) -> None:
    async with running(tmp_path) as bot:
        [command] = [c for c in bot.discord.commands if c["name"] == "img2img"]
        id_ = {"user": ALICE, "role": GUILD, "channel": TEXT}[target]
        override = {"id": str(id_), "type": kind, "permission": allowed}
        bot.state.guilds[GUILD].command_permissions[int(command["id"])] = [override]
        replies = await bot.write(ALICE, TEXT, f"{MENTION} a fox", files=CAT)
        assert bool(replies.messages) is allowed


async def test_a_member_without_attach_files_gets_no_picture_by_mention(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        denied = Overwrite(BOB, member=True, deny=Permission.ATTACH_FILES)
        bot.state.guilds[GUILD].channels[TEXT].overwrites.append(denied)
        await bot.discord.update_channel(TEXT)
        made = await bot.redraw(TEXT, ALICE)
        replies = await bot.write(BOB, TEXT, f"{MENTION} a fox", reply_to=made.id)
        assert replies.pictures == []
        assert "Attach Files" in replies.text


async def test_the_same_error_of_mentions_is_not_repeated(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        first = await bot.write(ALICE, TEXT, f"{MENTION} a fox")
        second = await bot.write(ALICE, TEXT, f"{MENTION} a fox")
        assert len(first.messages) == 1
        assert second.messages == []


@pytest.mark.parametrize("content_type", [True, False])
async def test_an_attachment_without_a_content_type_is_a_picture(
    tmp_path: Path, content_type: bool
) -> None:
    async with running(tmp_path) as bot:
        untyped = set() if content_type else {"cat.png"}
        replies = await bot.write(ALICE, TEXT, f"{MENTION} x", files=CAT, untyped=untyped)
        assert len(replies.pictures) == 1


async def test_a_spoiler_stays_a_spoiler(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        files = {"SPOILER_cat.png": picture_file()}
        replies = await bot.write(ALICE, TEXT, f"{MENTION} x", files=files)
        [made] = replies.messages
        assert all(name.startswith("SPOILER_") for name in made.files)
        assert "SPOILER_" not in made.text
        compared = await bot.click(ALICE, made, "compare")
        assert all(name.startswith("SPOILER_") for m in compared.messages for name in m.files)


async def test_a_forwarded_picture_is_found(tmp_path: Path) -> None:
    async with running(tmp_path, intent=True) as bot:
        original = await bot.discord.write(ALICE, DM, "", files=CAT)
        url = f"{bot.state.cdn}/attachments/{DM}/{original.id}/cat.png"
        attachment = {
            "id": "1",
            "filename": "cat.png",
            "size": len(CAT["cat.png"]),
            "content_type": "image/png",
            "url": url,
            "proxy_url": url,
        }
        snapshots = [forwarded(attachments=[attachment])]
        await bot.discord.write(BOB, TEXT, snapshots=snapshots, flags=HAS_SNAPSHOT)
        replies = await bot.command(TEXT, ALICE, "img2img", prompt="a fox")
        assert len(replies.pictures) == 1
        assert "cat.png" in replies.text


async def test_a_vector_sticker_gets_a_sentence(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        sticker = {"id": "749054660769218631", "name": "Wave", "format_type": 3}
        replies = await bot.write(ALICE, TEXT, f"{MENTION} x", stickers=[sticker])
        assert replies.pictures == []
        assert "vector animation" in replies.text


async def test_an_event_that_cannot_be_read_does_not_end_the_bot(tmp_path: Path) -> None:
    """A reply to a forwarded message, whose snapshot comes without its time."""
    async with running(tmp_path) as bot:
        snapshot = forwarded()
        del snapshot["timestamp"]
        forward = await bot.discord.write(BOB, TEXT, snapshots=[forwarded()], flags=HAS_SNAPSHOT)
        forward.snapshots = [snapshot]
        await bot.discord.write(ALICE, TEXT, "nice", reply_to=forward.id)
        made = await bot.redraw(TEXT, ALICE)
        assert made.files
        assert not bot.gateway.done()
