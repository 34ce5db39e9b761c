"""`/admin`: its users, and the effects of its commands."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import discord
import pytest
import pytest_asyncio
from simcord.backend.errors import SetupError

from bot.moderation.model import EVERYWHERE
from tests.support.moderation.discord import (
    CAT,
    ModeratedServer,
    Painter,
    open_moderated_server,
    said,
)

STYLES = '["Stained glass"]\nprompt = "stained glass of {prompt}"\n'
PAUSED = "The bot accepts no requests at the moment: We move to another machine."


@pytest_asyncio.fixture
async def server(tmp_path: Path) -> AsyncIterator[ModeratedServer]:
    styles = tmp_path / "styles.toml"
    styles.write_text(STYLES, encoding="utf-8")
    async with open_moderated_server(tmp_path, moderation=False, styles_file=styles) as opened:
        guild = opened.sim.env.guild
        admins = guild.create_role("admins", permissions=discord.Permissions(administrator=True))
        opened.operator = guild.add_member(opened.sim.env.create_user("owner"), roles=[admins])
        opened.sim.bot.owner_id = opened.operator.id
        opened.manager = guild.add_member(opened.sim.env.create_user("admin"), roles=[admins])
        yield opened


async def admin(server: ModeratedServer, name: str, /, **options: object) -> str:
    return await server.command(server.operator, f"admin {name}", **options)


COMMANDS: dict[str, dict[str, object]] = {
    "pause": {"sentence": "Later."},
    "resume": {},
    "drain": {},
    "statistics": {},
    "ban": {"server": "1" * 18},
    "unban": {"server": "1" * 18},
    "bans": {},
    "reload": {},
}


async def test_only_the_owner_runs_its_commands(server: ModeratedServer) -> None:
    for name, options in COMMANDS.items():
        for user in (server.alice, server.moderator):
            # Discord does not offer it to members who are not administrators.
            with pytest.raises(SetupError):
                await server.command(user, f"admin {name}", **options)
        told = await server.command(server.manager, f"admin {name}", **options)
        assert told == "Only the bot's operator can do that."
    for name, options in COMMANDS.items():
        assert "Only the bot's operator" not in await admin(server, name, **options)


async def test_members_of_the_applications_team_are_owners(server: ModeratedServer) -> None:
    server.sim.bot.owner_id = None
    server.sim.bot.owner_ids = {server.operator.id, server.manager.id}
    assert await server.command(server.manager, "admin bans") == "There are no bans."


async def test_a_pause_survives_a_restart_and_lets_accepted_requests_end(
    server: ModeratedServer,
) -> None:
    service = server.services.inference
    assert isinstance(service, Painter)
    service.gate.clear()
    await server.alice.slash(server.channel, "img2img", prompt="a fox", image=CAT)
    await admin(server, "pause", sentence="We move to another machine.")
    refused = await server.bob.slash(server.channel, "img2img", prompt="an owl", image=CAT)
    assert said(refused) == PAUSED
    service.gate.set()
    await server.sim.settled()
    assert len(server.channel.history()) == 1
    await server.sim.restart(Painter())
    server.sim.bot.owner_id = server.operator.id
    assert await server.redraw() == PAUSED
    await admin(server, "resume")
    assert await server.redraw() == ""


async def test_draining_tells_when_every_request_is_answered(server: ModeratedServer) -> None:
    service = server.services.inference
    assert isinstance(service, Painter)
    service.gate.clear()
    await server.alice.slash(server.channel, "img2img", prompt="a fox", image=CAT)
    draining = asyncio.create_task(admin(server, "drain"))
    while not server.services.runner.acceptance.draining:  # noqa: ASYNC110 - no event tells
        await asyncio.sleep(0.01)
    service.gate.set()
    assert await draining == "All requests are answered: the bot can be restarted."
    assert "about to restart" in await server.redraw()
    # A drain prepares a restart and ends with it.
    await server.sim.restart(Painter())
    assert await server.redraw() == ""


async def test_requests_are_accepted_again_after_a_drain(server: ModeratedServer) -> None:
    await admin(server, "drain")
    assert "about to restart" in await server.redraw()
    await admin(server, "resume")
    assert await server.redraw() == ""


async def test_a_banned_server_and_a_banned_user_are_refused(server: ModeratedServer) -> None:
    guild_id = str(server.guild_id)
    await admin(server, "ban", server=guild_id, reason="spam")
    assert f"`{guild_id}`" in await admin(server, "bans")
    assert await server.redraw() == "This bot is not available in this server."
    await admin(server, "unban", server=guild_id)
    assert await server.redraw() == ""
    await admin(server, "ban", user=server.bob)
    assert await server.redraw(user=server.bob) == "You may not use this bot here."
    await admin(server, "unban", user=server.bob)
    assert await server.redraw(user=server.bob) == ""
    assert "is not banned" in await admin(server, "unban", user=server.bob)
    assert "Give either" in await admin(server, "ban")
    assert "Give either" in await admin(server, "ban", user=server.bob, server=guild_id)
    for wrong in ("a" * 18, "9" * 20, str(2**63)):
        for name in ("ban", "unban"):
            told = await admin(server, name, server=wrong)
            assert told == f"{wrong} is not the id of a server."
    record = await server.services.moderation.cases.actions(EVERYWHERE)
    assert [(action.kind, action.target) for action in record][:2] == [
        ("ban", f"server {guild_id}"),
        ("unban", f"server {guild_id}"),
    ]


async def test_statistics_of_a_bot_without_requests(server: ModeratedServer) -> None:
    told = await admin(server, "statistics")
    assert told == ("**Statistics of today**\n- all: 0 requests, 0 pictures, 0 s of computing time")


@pytest.mark.usefixtures("within_one_day")
async def test_statistics_count_by_server_without_contents(server: ModeratedServer) -> None:
    await server.redraw(prompt="a secret")
    await server.redraw(options={"count": 2})
    await server.redraw(options={"style": "no such style"})
    told = await admin(server, "statistics")
    assert "- all: 2 requests, 3 pictures, 2 s of computing time" in told
    assert re.search(rf"- .* \({server.guild_id}\): 2 requests, 3 pictures", told)
    assert "Waiting time: " in told
    assert "Refusals since the start: NoSuchStyle 1" in told
    assert "secret" not in told
    assert told.startswith("**Statistics of today**\n- all: ")
    told = await admin(server, "statistics", days=7)
    assert told.startswith("**Statistics of the last 7 days**\n- all: 2 requests")
    assert str(server.alice.id) not in told


async def test_styles_are_read_again_and_a_bad_file_changes_nothing(
    server: ModeratedServer,
) -> None:
    file = server.services.settings.styles_file
    assert file is not None
    assert 'no style "Mosaic"' in await server.redraw(options={"style": "Mosaic"})
    await asyncio.to_thread(file.write_text, STYLES + '[Mosaic]\nprompt = "mosaic of {prompt}"\n')
    assert await admin(server, "reload") == "Styles read: 2."
    assert await server.redraw(options={"style": "Mosaic"}) == ""
    for content in ("[Mosaic", '[Mosaic]\nprompt = "mosaic"\n'):
        await asyncio.to_thread(file.write_text, content)
        assert "The styles were not changed: " in await admin(server, "reload")
    assert await server.redraw(options={"style": "Mosaic"}) == ""
