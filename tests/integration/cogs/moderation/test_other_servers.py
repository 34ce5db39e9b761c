"""A moderator of one server has no power over another one, also where they are a member of it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import discord
import pytest
import pytest_asyncio
from simcord.actors import MemberActor
from simcord.builders import ChannelHandle, RoleHandle

from bot.jobs.job import JobState
from bot.moderation.detectors.prompt_rules import RuleKind
from tests.support.moderation.discord import (
    CAT,
    ModeratedServer,
    open_moderated_server,
    said,
)
from tests.support.services import ScriptedService
from tests.support.simulated_users import newest_job, press, reply_of, slash


@dataclass
class Foreign:
    """Another server with the bot. `admin` has all permissions there, and `member` is the same user
    as a member without a role of the moderated server."""

    server: ModeratedServer
    channel: ChannelHandle
    role: RoleHandle
    admin: MemberActor
    member: MemberActor

    async def forged(self, custom_id: str) -> discord.Message:
        """A message in the other server with a button of that custom id."""
        view = discord.ui.LayoutView(timeout=None)
        row: discord.ui.ActionRow[discord.ui.LayoutView] = discord.ui.ActionRow()
        row.add_item(discord.ui.Button(label="forged", custom_id=custom_id))
        view.add_item(row)
        channel = self.server.sim.bot.get_channel(self.channel.id)
        assert isinstance(channel, discord.TextChannel)
        return await channel.send(view=view)


@pytest_asyncio.fixture
async def foreign(tmp_path: Path) -> AsyncIterator[Foreign]:
    # Without the classifier, which these tests need not start. Rules and bans hold all the same.
    async with open_moderated_server(tmp_path, moderation=False) as server:
        await server.open_log()
        await server.services.moderation.lists.add_rule(server.guild_id, RuleKind.WORD, "wolf")
        env = server.sim.env
        other = env.create_guild("Other")
        role = other.create_role("admins", permissions=discord.Permissions.all())
        user = env.create_user("visitor")
        opened = Foreign(
            server=server,
            channel=other.create_text_channel("theirs"),
            role=role,
            admin=other.add_member(user, roles=[role]),
            member=env.guild.add_member(user),
        )
        await env.settle()
        yield opened


async def test_a_picture_of_another_server_is_not_deleted(foreign: Foreign) -> None:
    server = foreign.server
    await server.redraw()
    job = await newest_job(server.sim, server.alice)
    shown = (await slash(foreign.admin, foreign.channel, "show", id=job.id)).response
    assert len(shown.attachments) == 1, "as a member they may see it"
    for label in ("Delete", "Share"):
        refused = await press(server.sim, foreign.admin, shown.message, label)
        assert "Only the user who asked" in reply_of(refused), label
    assert await server.services.store.job(job.id) == job
    assert server.sim.last.attachments


async def test_the_requests_of_another_server_are_not_cancelled(foreign: Foreign) -> None:
    server = foreign.server
    engine = server.services.inference
    assert isinstance(engine, ScriptedService)
    engine.gate.clear()
    await slash(server.alice, server.channel, "img2img", prompt="a fox", image=CAT)
    both = server.sim.env.create_user("moderator of both")
    env, other = server.sim.env, foreign.admin.guild
    role = env.guild.create_role("more mods", permissions=discord.Permissions.all())
    here = env.guild.add_member(both, roles=[role])
    there = other.add_member(both, roles=[foreign.role])
    for user, channel in (
        (foreign.admin, foreign.channel),
        (foreign.member, server.channel),
        # `/cancel` is for the server in which it is used.
        (there, foreign.channel),
    ):
        told = await slash(user, channel, "cancel", everyone=True)
        assert reply_of(told) == "There is no waiting or running picture to cancel."
    told = await slash(here, server.channel, "cancel", everyone=True)
    assert reply_of(told) == "1 picture cancelled."
    engine.gate.set()
    await server.sim.settled()
    assert (await newest_job(server.sim, server.alice)).state is JobState.CANCELLED


@pytest.mark.parametrize("action", ["delete", "block", "timeout", "ban", "dismiss", "undo"])
async def test_a_case_of_another_server_is_not_found(foreign: Foreign, action: str) -> None:
    server = foreign.server
    await server.redraw(prompt="a wolf")
    cases = server.services.moderation.cases
    (case,) = await cases.cases(server.guild_id)
    button = await foreign.forged(f"redraw:case:{action}:{case.id}")
    result = await foreign.admin.click(button, label="forged")
    assert result.modal is None
    assert said(result) == "I do not know this case."
    assert await cases.cases(server.guild_id) == [case]
    assert await cases.actions(server.guild_id) == []


async def test_lists_rules_and_the_record_are_those_of_the_own_server(foreign: Foreign) -> None:
    server = foreign.server
    await server.redraw(prompt="a wolf")
    await server.command(server.moderator, "moderation ban", target=server.bob)
    for name in ("list", "rules list"):
        told = said(await slash(foreign.admin, foreign.channel, f"moderation {name}"))
        assert "wolf" not in told
        assert server.bob.mention not in told
    assert "wolf" in await server.command(server.moderator, "moderation rules list")
    result = await slash(foreign.admin, foreign.channel, "moderation export")
    record = json.loads(await result.response.attachments[0].read())
    assert [record[key] for key in ("cases", "actions", "restrictions", "rules")] == [[]] * 4
    await slash(foreign.admin, foreign.channel, "moderation rules remove", number=1)
    assert "not allowed here" in await server.redraw(prompt="a wolf")


async def test_a_ban_holds_in_its_own_server_only(foreign: Foreign) -> None:
    server = foreign.server
    await slash(foreign.admin, foreign.channel, "moderation ban", target=foreign.admin)
    refused = await slash(foreign.admin, foreign.channel, "img2img", prompt="a fox", image=CAT)
    assert said(refused) == "You may not use this bot here."
    assert await server.redraw(user=foreign.member) == ""
    assert await server.redraw() == ""
