"""Mentions and direct messages: what is a request, what is not, and what the author reads."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import discord
import pytest
import pytest_asyncio

from tests.support.pictures import file_of, photo
from tests.support.services import ScriptedService
from tests.support.simulated_discord import SimulatedDiscord, open_simulated_discord, text_of
from tests.support.simulated_users import CAT, newest_job, redraw

SECRET = ("SPOILER_dog.png", file_of(photo(100, 80, seed=4)))


@pytest_asyncio.fixture
async def sim(tmp_path: Path) -> AsyncIterator[SimulatedDiscord]:
    async with open_simulated_discord(
        tmp_path, ScriptedService(), queue_limit_per_user=50
    ) as opened:
        yield opened


def me(sim: SimulatedDiscord) -> str:
    assert sim.bot.user is not None
    return sim.bot.user.mention


async def prompts(sim: SimulatedDiscord, user: Any) -> list[str]:
    """The prompts of a user's jobs, oldest first."""
    await sim.settled()
    return [job.prompt for job in reversed(await sim.bot.services.store.jobs_of(user.id))]


def texts(sim: SimulatedDiscord) -> list[str]:
    return [text_of(message) for message in sim.channel.history()]


# 7. Only a typed mention is a request.


async def test_a_reply_that_only_pings_the_bot_is_not_a_request(sim: SimulatedDiscord) -> None:
    await redraw(sim)
    before = len(sim.channel.history())
    reply = await sim.bob.send(sim.channel, "thanks!", reply_to=sim.last)
    assert sim.bot.user in reply.mentions, "the reply pings, as in Discord's client"
    assert await prompts(sim, sim.bob) == []
    assert len(sim.channel.history()) == before + 1


async def test_a_typed_mention_in_a_reply_is_a_request(sim: SimulatedDiscord) -> None:
    await redraw(sim)
    await sim.bob.send(sim.channel, f"{me(sim)} as a statue", reply_to=sim.last)
    assert await prompts(sim, sim.bob) == ["as a statue"]


@pytest.mark.parametrize("intent", [True, False])
async def test_a_mention_of_the_bots_own_role_is_a_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, intent: bool
) -> None:
    """Without the message content intent, such a message comes without its text."""
    async with open_simulated_discord(tmp_path, ScriptedService(), message_content=intent) as sim:
        role = sim.env.guild.create_role("Redraw")
        await sim.env.settle()
        seen = sim.bot.guilds[0].get_role(role.id)
        assert seen is not None
        monkeypatch.setattr(discord.Guild, "self_role", property(lambda _: seen))
        await sim.bob.send(sim.channel, f"{role.mention} as a statue", attachments=[CAT])
        assert await prompts(sim, sim.bob) == (["as a statue"] if intent else [])
        if not intent:
            assert "mention me" in texts(sim)[-1]


async def test_the_same_error_is_not_repeated_at_every_reply(sim: SimulatedDiscord) -> None:
    for _ in range(3):
        await sim.bob.send(sim.channel, f"{me(sim)} as a statue")
        await sim.alice.send(sim.channel, f"{me(sim)}")
    answers = [text for text in texts(sim) if "found no picture" in text]
    explanations = [text for text in texts(sim) if "mention me" in text]
    assert (len(answers), len(explanations)) == (1, 1)
    assert all(len(answer) < 200 for answer in answers)


# 9. Mentions follow the permissions of the command and of the author.


async def test_a_mention_follows_the_permissions_of_the_command(sim: SimulatedDiscord) -> None:
    (command,) = [c for c in await sim.bot.tree.fetch_commands() if c.name == "img2img"]
    sim.env.guild.set_command_permissions(
        command, {sim.env.guild.default_role: False, sim.alice: True}
    )
    before = len(sim.channel.history())
    await sim.bob.send(sim.channel, f"{me(sim)} as a statue", attachments=[CAT])
    assert await prompts(sim, sim.bob) == []
    assert len(sim.channel.history()) == before + 1, "as for a slash command, there is no reply"
    await sim.alice.send(sim.channel, f"{me(sim)} as a statue", attachments=[CAT])
    assert await prompts(sim, sim.alice) == ["as a statue"]


@pytest.mark.parametrize("denied", ["use_application_commands", "attach_files"])
async def test_a_mention_follows_the_permissions_of_its_author(
    sim: SimulatedDiscord, denied: str
) -> None:
    await redraw(sim)
    overwrite = discord.PermissionOverwrite(**{denied: False})
    limited = sim.env.guild.create_text_channel("limited", overwrites={sim.bob: overwrite})
    await redraw(sim, sim.alice, limited)
    shown = limited.last_message
    assert shown is not None
    await sim.bob.send(limited, f"{me(sim)} as a statue", reply_to=shown)
    assert await prompts(sim, sim.bob) == []
    if denied == "attach_files":
        assert "You need the permission Attach Files" in limited.history()[-1].content
    await sim.alice.send(limited, f"{me(sim)} as a statue", reply_to=shown)
    assert await prompts(sim, sim.alice) == ["a fox", "a fox", "as a statue"]


# 25. Without the message content intent.


async def test_a_reply_to_a_hidden_picture_points_to_redraw_this(
    sim: SimulatedDiscord,
) -> None:
    picture = await sim.alice.send(sim.channel, "look", attachments=[CAT])
    await sim.bob.send(sim.channel, f"{me(sim)} as a statue", reply_to=picture)
    assert await prompts(sim, sim.bob) == []
    assert "Redraw this" in texts(sim)[-1]


async def test_the_newest_picture_is_not_silently_an_older_one_of_the_bot(
    sim: SimulatedDiscord,
) -> None:
    await redraw(sim)
    await sim.bob.send(sim.channel, "my photograph", attachments=[CAT])
    result: Any = await sim.bob.slash(sim.channel, "img2img", prompt="as a statue")
    assert "Redraw this" in result.followups[-1].content
    assert await prompts(sim, sim.bob) == []


async def test_the_newest_picture_of_the_bot_is_taken_if_nothing_came_after_it(
    sim: SimulatedDiscord,
) -> None:
    await sim.bob.send(sim.channel, "before", attachments=[CAT])
    await redraw(sim)
    await sim.bob.slash(sim.channel, "img2img", prompt="as a statue")
    assert await prompts(sim, sim.bob) == ["as a statue"]


async def test_a_direct_message_with_a_picture_is_a_request_without_a_mention(
    sim: SimulatedDiscord,
) -> None:
    dora = sim.env.create_user("dora")
    files = sim.env.backend.store_attachments(dora.dm_channel.id, [CAT])
    await dora.send_dm("as a statue", attachments=files)
    assert await prompts(sim, dora) == ["as a statue"]
    answer = dora.dm_channel.last_message
    assert answer is not None
    before = len(dora.dm_channel.history())
    await dora.send_dm("thank you")
    assert len(dora.dm_channel.history()) == before + 1
    reference = sim.env.backend.normalize_message_reference(
        dora.dm_channel.id,
        {"channel_id": str(dora.dm_channel.id), "message_id": str(answer.id)},
    )
    await dora.send_dm("thanks!", reference=reference)
    await dora.send_dm(f"{me(sim)} as a statue of ice", reference=reference)
    assert await prompts(sim, dora) == ["as a statue", "as a statue of ice"]


async def test_a_mention_whose_reply_fails_leaves_nothing_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def reply(*_: object, **__: object) -> None:
        raise OSError("the connection broke")

    async with open_simulated_discord(tmp_path, ScriptedService(), bugs_expected=1) as sim:
        monkeypatch.setattr(discord.Message, "reply", reply)
        with contextlib.suppress(OSError):
            await sim.bob.send(sim.channel, f"{me(sim)} as a statue", attachments=[SECRET])
            await sim.env.settle()
        assert list((tmp_path / "data/pictures").iterdir()) == []


async def test_a_mention_in_a_server_with_unreadable_settings_is_answered(
    sim: SimulatedDiscord,
) -> None:
    values = (sim.env.guild.id, '{"of a later version": 1}')
    replace = "REPLACE INTO guild_settings VALUES (?, ?)"
    await sim.bot.services.store.database.execute("test", replace, values)
    await sim.bob.send(sim.channel, f"{me(sim)} as a statue", attachments=[CAT])
    assert "settings of this server cannot be read" in texts(sim)[-1]
    assert await prompts(sim, sim.bob) == []


# 26 and 27. Links and markup in a mention.


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("{}", ""),
        ("<{}>,", ""),
        ("({})", ""),
        ("**{}**", ""),
        ("[my dog]({})", "my dog "),
        ("{}。彫像", "彫像 "),
    ],
)
async def test_a_link_beside_a_mention_is_the_source_and_not_part_of_the_prompt(
    sim: SimulatedDiscord, written: str, words: str
) -> None:
    await redraw(sim, prompt="first")
    link = written.format(sim.last.jump_url)
    await sim.bob.send(sim.channel, f"{me(sim)} as a statue {link} please")
    assert await prompts(sim, sim.bob) == [f"as a statue {words}please"]


async def test_a_link_between_spoiler_bars_makes_a_spoiler(sim: SimulatedDiscord) -> None:
    await redraw(sim, prompt="first")
    await sim.bob.send(sim.channel, f"{me(sim)} as a statue ||{sim.last.jump_url}||")
    assert await prompts(sim, sim.bob) == ["as a statue"]
    assert (await newest_job(sim, sim.bob)).spoiler


async def test_the_names_of_mentioned_users_reach_the_model(sim: SimulatedDiscord) -> None:
    await sim.bob.send(
        sim.channel, f"{me(sim)} as {sim.alice.mention} <:fox_hat:{10**17}>", attachments=[SECRET]
    )
    assert await prompts(sim, sim.bob) == ["as alice fox hat"]
    job = await newest_job(sim, sim.bob)
    assert job.spoiler
    assert job.source_name == "dog.png"
