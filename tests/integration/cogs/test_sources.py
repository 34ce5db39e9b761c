"""Where the source picture comes from: messages, threads, links and attachments."""

from __future__ import annotations

import asyncio
import dataclasses
import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import discord
import pytest
import pytest_asyncio

from bot.intake import DiscordLinkExpired
from tests.support.pictures import file_of, photo
from tests.support.services import ScriptedService
from tests.support.simulated_discord import SimulatedDiscord, open_simulated_discord, text_of
from tests.support.simulated_users import (
    CAT,
    make_age_restricted,
    newest_job,
    private_thread,
    redraw,
    reply_of,
    slash,
)

DOG = ("dog.png", file_of(photo(100, 80, seed=4)))


@pytest_asyncio.fixture
async def sim(tmp_path: Path) -> AsyncIterator[SimulatedDiscord]:
    async with open_simulated_discord(
        tmp_path, ScriptedService(), queue_limit_per_user=50, message_content=True
    ) as opened:
        yield opened


def jump(sim: SimulatedDiscord, channel_id: int) -> str:
    return f"https://discord.com/channels/{sim.env.guild.id}/{channel_id}"


def bots_channel(sim: SimulatedDiscord) -> discord.TextChannel:
    channel = sim.bot.get_channel(sim.channel.id)
    assert isinstance(channel, discord.TextChannel)
    return channel


async def test_the_newest_picture_that_can_be_read_is_taken(sim: SimulatedDiscord) -> None:
    await sim.bob.send(sim.channel, "good", attachments=[DOG])
    await sim.bob.send(sim.channel, "broken", attachments=[("broken.png", b"no picture")])
    await slash(sim.alice, sim.channel, "img2img", prompt="x")
    await sim.settled()
    assert "dog.png" in text_of(sim.last)


async def test_the_error_of_the_newest_is_told_if_none_can_be_read(sim: SimulatedDiscord) -> None:
    await sim.bob.send(sim.channel, "broken", attachments=[("broken.png", b"no picture")])
    result = await slash(sim.alice, sim.channel, "img2img", prompt="x")
    assert "PNG, JPEG" in reply_of(result)


async def test_a_thread_gives_the_picture_that_it_was_started_with(sim: SimulatedDiscord) -> None:
    start = await sim.bob.send(sim.channel, "look", attachments=[DOG])
    thread = await bots_channel(sim).get_partial_message(start.id).create_thread(name="about it")
    await sim.env.settle()
    handle = next(one for one in sim.channel.threads if one.id == thread.id)
    await slash(sim.alice, handle, "img2img", prompt="inside")
    await sim.settled()
    assert (await newest_job(sim, sim.alice)).prompt == "inside"
    await redraw(sim, sim.alice, prompt="outside", url=jump(sim, thread.id))
    assert (await newest_job(sim, sim.alice)).prompt == "outside"


async def test_a_forum_post_gives_the_picture_that_it_was_started_with(
    sim: SimulatedDiscord,
) -> None:
    handle = sim.env.guild.create_forum_channel("forum")
    await sim.env.settle()
    forum = sim.bot.get_channel(handle.id)
    assert isinstance(forum, discord.ForumChannel)
    file = discord.File(io.BytesIO(DOG[1]), "dog.png")
    post = await forum.create_thread(name="post", content="look", file=file)
    await sim.env.settle()
    job = await redraw(sim, sim.alice, url=jump(sim, post.thread.id) + "?x=1")
    assert job.source_channel_id == post.thread.id


@pytest.mark.parametrize("kind", ["text", "forum", "category", "voice"])
async def test_a_link_to_a_channel_is_refused_with_a_sentence(
    sim: SimulatedDiscord, kind: str
) -> None:
    guild: Any = sim.env.guild
    creators = {
        "text": guild.create_text_channel,
        "forum": guild.create_forum_channel,
        "category": guild.create_category,
        "voice": guild.create_voice_channel,
    }
    channel = creators[kind]("other")
    await sim.env.settle()
    result = await slash(sim.alice, sim.channel, "img2img", prompt="x", url=jump(sim, channel.id))
    assert "link to a message, a thread or a forum post" in reply_of(result)


@pytest.mark.parametrize("message", ["/999999999999999999", ""])
async def test_a_link_to_what_does_not_exist(sim: SimulatedDiscord, message: str) -> None:
    url = jump(sim, 888888888888888888) + message
    result = await slash(sim.alice, sim.channel, "img2img", prompt="x", url=url)
    assert "cannot read that message" in reply_of(result)


async def test_a_user_who_may_not_read_the_history_gets_no_picture_of_it(
    sim: SimulatedDiscord,
) -> None:
    overwrite = discord.PermissionOverwrite(read_message_history=False)
    channel = sim.env.guild.create_text_channel("unread", overwrites={sim.bob: overwrite})
    message = await sim.alice.send(channel, "look", attachments=[DOG])
    newest = await slash(sim.bob, channel, "img2img", prompt="x")
    assert "no picture here" in reply_of(newest)
    linked = await slash(sim.bob, channel, "img2img", prompt="x", url=message.jump_url)
    assert "cannot read that message" in reply_of(linked)
    assert await redraw(sim, sim.alice, channel, url=message.jump_url)


@pytest.mark.parametrize("form", ["{}", "<{}>", "{}?x=1", "{}#y", "||{}||"])
async def test_message_links_in_every_form(sim: SimulatedDiscord, form: str) -> None:
    message = await sim.bob.send(sim.channel, "look", attachments=[DOG])
    url = form.format(message.jump_url.replace("https://", "https://www."))
    job = await redraw(sim, sim.alice, url=url)
    assert "dog.png" in job.source_name
    assert job.spoiler is form.startswith("||")


async def test_a_linked_thread_of_an_age_restricted_channel_is_refused(
    sim: SimulatedDiscord,
) -> None:
    start = await sim.bob.send(sim.channel, "look", attachments=[DOG])
    thread = await bots_channel(sim).get_partial_message(start.id).create_thread(name="about it")
    await sim.env.settle()
    make_age_restricted(sim, sim.channel)
    other = sim.env.guild.create_text_channel("other")
    result = await slash(sim.alice, other, "img2img", prompt="x", url=jump(sim, thread.id))
    assert "age-restricted" in reply_of(result)


async def test_the_name_of_a_file_is_shown_plain_and_without_its_spoiler(
    sim: SimulatedDiscord,
) -> None:
    image = ("SPOILER_my_cat.png", CAT[1])
    await slash(sim.alice, sim.channel, "img2img", prompt="x", image=image)
    await sim.settled()
    assert r"my\_cat.png" in text_of(sim.last)
    assert "SPOILER" not in text_of(sim.last)


@pytest.mark.parametrize(
    "error",
    [aiohttp.ClientPayloadError("cut"), ConnectionResetError(104, "reset"), OSError("broken")],
)
async def test_a_broken_download_of_an_attachment_gets_its_sentence(
    sim: SimulatedDiscord, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    async def read(*_: object, **__: object) -> bytes:
        raise error

    monkeypatch.setattr(discord.Attachment, "read", read)
    result = await slash(sim.alice, sim.channel, "img2img", prompt="x", image=CAT)
    assert "could not deliver that file" in reply_of(result)


async def test_the_download_of_an_attachment_has_a_time_limit(
    sim: SimulatedDiscord, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def read(*_: object, **__: object) -> bytes:
        await asyncio.sleep(60)
        return b""

    intake = sim.bot.services.intake
    monkeypatch.setattr(intake, "limits", dataclasses.replace(intake.limits, total_seconds=0.05))
    monkeypatch.setattr(discord.Attachment, "read", read)
    result = await slash(sim.alice, sim.channel, "img2img", prompt="x", image=CAT)
    assert "took longer than" in reply_of(result)


class Expired:
    """Discord's file server and the endpoint that renews links, at the edge of the network."""

    def __init__(self, sim: SimulatedDiscord, monkeypatch: pytest.MonkeyPatch) -> None:
        self.renewed: list[str] = []
        self._request = sim.bot.http.request
        monkeypatch.setattr(sim.bot.services.intake, "fetch", self.fetch)
        monkeypatch.setattr(sim.bot.http, "request", self.request)

    async def fetch(self, url: str) -> bytes:
        if "ex=new" not in url:
            raise DiscordLinkExpired(status=404)
        return DOG[1]

    async def request(self, route: Any, **options: Any) -> Any:
        if route.path != "/attachments/refresh-urls":
            return await self._request(route, **options)
        (url,) = options["json"]["attachment_urls"]
        self.renewed.append(url)
        return {"refreshed_urls": [{"original": url, "refreshed": url + "&ex=new"}]}


def file_link(channel_id: int) -> str:
    return f"https://cdn.discordapp.com/attachments/{channel_id}/{10**17}/dog.png?ex=old"


async def test_an_expired_link_is_renewed_for_readers_of_its_channel(
    sim: SimulatedDiscord, monkeypatch: pytest.MonkeyPatch
) -> None:
    discord_files = Expired(sim, monkeypatch)
    await redraw(sim, sim.alice, url=file_link(sim.channel.id))
    assert discord_files.renewed == [file_link(sim.channel.id)]


async def test_an_expired_link_of_a_hidden_channel_is_not_renewed(
    sim: SimulatedDiscord, monkeypatch: pytest.MonkeyPatch
) -> None:
    thread = await private_thread(sim, sim.alice)
    discord_files = Expired(sim, monkeypatch)
    result = await slash(sim.bob, sim.channel, "img2img", prompt="x", url=file_link(thread.id))
    assert "has expired" in reply_of(result)
    assert discord_files.renewed == []


@pytest.mark.parametrize(
    ("links", "sentence"),
    [("off", "Links are turned off here"), ("discord", "Only links to Discord are allowed here")],
)
async def test_links_follow_the_operators_setting(
    tmp_path: Path, links: str, sentence: str
) -> None:
    async with open_simulated_discord(tmp_path, ScriptedService(), links=links) as sim:
        result = await slash(
            sim.alice, sim.channel, "img2img", prompt="x", url="https://cat.invalid/cat.png"
        )
        assert reply_of(result).startswith(sentence)
        await redraw(sim)
        await redraw(sim, sim.alice, prompt="by message link", url=sim.last.jump_url)
