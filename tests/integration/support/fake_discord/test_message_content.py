"""The fake Discord sends content and attachments as the message content intent allows."""

from __future__ import annotations

import discord
import pytest

from tests.support.bots.recorder import ALICE, BOB, BOT, DM, TEXT, connected, home

PICTURE = {"cat.png": b"a picture"}


async def test_without_the_intent_content_and_attachments_of_others_are_empty() -> None:
    async with connected(home()) as (server, client):
        written = await server.write(ALICE, TEXT, "look", files=PICTURE)
        received = await client.next()
        fetched = await client.get_partial_messageable(TEXT).fetch_message(written.id)
        [listed] = [m async for m in client.get_partial_messageable(TEXT).history(limit=5)]
    for message in (received, fetched, listed):
        assert message.author.id == ALICE
        assert (message.content, message.attachments) == ("", [])


async def test_with_the_intent_content_and_attachments_are_sent() -> None:
    state = home()
    state.content_intent.add(BOT)
    async with connected(state, message_content=True) as (server, client):
        await server.write(ALICE, TEXT, "look", files=PICTURE)
        message = await client.next()
        assert message.content == "look"
        assert await message.attachments[0].read() == b"a picture"


@pytest.mark.parametrize("case", ["mention", "reply that pings", "direct message", "own message"])
async def test_what_is_sent_without_the_intent(case: str) -> None:
    async with connected(home()) as (server, client):
        match case:
            case "mention":
                await server.write(ALICE, TEXT, f"<@{BOT}> a fox", files=PICTURE)
            case "reply that pings":
                own = await client.get_partial_messageable(TEXT).send("done")
                await server.write(ALICE, TEXT, "thanks", files=PICTURE, reply_to=own.id)
            case "direct message":
                await server.write(ALICE, DM, "a fox", files=PICTURE)
            case "own message":
                await client.get_partial_messageable(TEXT).send("mine")
                [message] = [m async for m in client.get_partial_messageable(TEXT).history()]
                assert message.content == "mine"
                return
        message = await client.next()
    assert message.content != ""
    assert message.attachments[0].filename == "cat.png"


async def test_a_reply_without_a_ping_has_no_mention() -> None:
    async with connected(home()) as (server, client):
        own = await client.get_partial_messageable(TEXT).send("done")
        await server.write(ALICE, TEXT, "thanks", reply_to=own.id, ping=False)
        message = await client.next()
    assert (message.content, message.mentions) == ("", [])
    assert message.reference is not None
    assert isinstance(message.reference.resolved, discord.Message)
    assert message.reference.resolved.content == "done"


async def test_a_reply_that_pings_mentions_the_bot_without_a_typed_mention() -> None:
    async with connected(home()) as (server, client):
        own = await client.get_partial_messageable(TEXT).send("done")
        await server.write(ALICE, TEXT, "thanks", reply_to=own.id)
        message = await client.next()
    assert [user.id for user in message.mentions] == [BOT]
    assert message.raw_mentions == []


async def test_the_message_that_a_mention_replies_to_is_empty_without_the_intent() -> None:
    async with connected(home()) as (server, client):
        photo = await server.write(BOB, TEXT, "my cat", files=PICTURE)
        await client.next()
        await server.write(ALICE, TEXT, f"<@{BOT}> a fox", reply_to=photo.id)
        message = await client.next()
    assert message.reference is not None
    assert isinstance(message.reference.resolved, discord.Message)
    assert message.reference.resolved.attachments == []


async def test_the_target_of_a_message_command_has_its_content() -> None:
    async with connected(home()) as (server, client):
        photo = await server.write(BOB, TEXT, "my cat", files=PICTURE)
        await server.message_command(BOT, ALICE, "Redraw this", photo)
        interaction = await client.next_interaction()
    assert interaction.data is not None
    target = interaction.data["resolved"]["messages"][str(photo.id)]  # type: ignore[typeddict-item]
    assert target["attachments"][0]["filename"] == "cat.png"


async def test_an_intent_that_is_off_in_the_portal_closes_the_connection() -> None:
    with pytest.raises(discord.PrivilegedIntentsRequired):
        async with connected(home(), message_content=True):
            pass
