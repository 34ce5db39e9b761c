"""`/moderation`: who may use it, and what follows."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import discord
import pytest
import pytest_asyncio
from simcord.actors import MemberActor
from simcord.backend.errors import SetupError

from bot.moderation.detectors.prompt_rules import RuleKind
from bot.moderation.errors import UserBanned
from bot.moderation.model import EVERYWHERE, Place
from tests.support.moderation.discord import (
    BAD,
    ModeratedServer,
    open_moderated_server,
    pictures_in,
    said,
)
from tests.support.simulated_discord import text_of

BANNED = "You may not use this bot here."


@pytest_asyncio.fixture
async def server(tmp_path: Path) -> AsyncIterator[ModeratedServer]:
    async with open_moderated_server(tmp_path) as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_server(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[ModeratedServer]:
    """For tests to which earlier commands make no difference."""
    async with open_moderated_server(tmp_path_factory.mktemp("shared")) as opened:
        yield opened


def actor(server: ModeratedServer, name: str) -> MemberActor:
    found = getattr(server, name)
    assert isinstance(found, MemberActor)
    return found


COMMANDS: dict[str, dict[str, object]] = {
    "ban": {"target": "bob"},
    "unban": {"target": "bob"},
    "timeout": {"target": "bob", "minutes": 5},
    "allow": {"target": "moderator"},
    "disallow": {"target": "bob"},
    "list": {},
    "export": {},
    "rules list": {},
    "rules test": {"text": "a wolf"},
    "rules add": {"kind": "word", "pattern": "wolf"},
    "rules remove": {"number": 1},
    "set log": {},
    "set thresholds": {"ordinary": 0.1},
    "set slow_mode": {"seconds": 5},
}
FOR_MANAGERS = {"rules add", "rules remove", "set log", "set thresholds", "set slow_mode"}


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("who", ["alice", "moderator", "manager", "operator"])
@pytest.mark.asyncio(loop_scope="module")
async def test_who_may_use_which_command(
    shared_server: ModeratedServer, who: str, name: str
) -> None:
    server = shared_server
    options = {
        key: actor(server, str(value)) if key == "target" else value
        for key, value in COMMANDS[name].items()
    }
    if who == "alice":
        # Discord does not offer it to members without Manage Messages.
        with pytest.raises(SetupError):
            await server.command(server.alice, f"moderation {name}", **options)
        return
    told = await server.command(actor(server, who), f"moderation {name}", **options)
    refused = "Only members with the permission Manage Server" in told
    assert refused is (name in FOR_MANAGERS and who != "manager")
    assert told


@pytest.mark.parametrize("who", ["moderator", "manager", "operator"])
async def test_only_the_operator_acts_for_every_server(server: ModeratedServer, who: str) -> None:
    told = await server.command(
        actor(server, who), "moderation ban", target=server.bob, everywhere=True
    )
    assert ("Only the bot's operator" in told) is (who != "operator")
    banned = await server.redraw(user=server.bob)
    assert (BANNED in banned) is (who == "operator")


async def test_a_banned_member_is_refused_everywhere_in_the_server_until_unbanned(
    server: ModeratedServer,
) -> None:
    await server.open_log()
    await server.command(server.moderator, "moderation ban", target=server.bob, reason="spam")
    assert f"Banned: {server.bob.mention}, by {server.moderator.mention}" in text_of(server.entry)
    assert "spam" in text_of(server.entry)
    for channel in (server.channel, server.adult):
        assert await server.redraw(channel, user=server.bob) == BANNED
        assert await server.redraw(channel, user=server.alice) == ""
    assert server.bob.mention in await server.command(server.moderator, "moderation list")
    await server.command(server.moderator, "moderation unban", target=server.bob)
    assert await server.redraw(user=server.bob) == ""
    told = await server.command(server.moderator, "moderation unban", target=server.bob)
    assert "is not on that list" in told


async def test_a_banned_member_can_use_no_button_that_asks_for_a_picture(
    server: ModeratedServer,
) -> None:
    await server.redraw()
    answer = server.sim.last
    await server.command(server.moderator, "moderation ban", target=server.bob)
    assert BANNED in await server.click(server.bob, answer, "Again")
    assert server.sim.last.id == answer.id


@pytest.mark.parametrize("effect", ["ban", "timeout"])
async def test_a_banned_owner_can_post_nothing_and_still_delete(
    server: ModeratedServer, effect: str
) -> None:
    gallery = server.sim.env.guild.create_text_channel("gallery")
    await server.services.store.guild_settings.set_gallery(server.guild_id, gallery.id)
    await server.redraw(user=server.bob)
    answer = server.sim.last
    options = {"minutes": 5} if effect == "timeout" else {}
    await server.command(server.moderator, f"moderation {effect}", target=server.bob, **options)
    refusal = BANNED if effect == "ban" else "You may use this bot again <t:"
    for label in ("Larger", "Share"):
        assert refusal in await server.click(server.bob, answer, label)
    reported = await server.bob.context_menu(server.channel, "Report picture", answer)
    assert refusal in said(reported)
    assert gallery.history() == []
    assert len(pictures_in(server.channel)) == 1
    await server.click(server.bob, answer, "Delete")
    assert pictures_in(server.channel) == []


async def test_a_mention_of_a_banned_member_is_refused(server: ModeratedServer) -> None:
    await server.command(server.moderator, "moderation ban", target=server.bob)
    assert server.sim.bot.user is not None
    await server.bob.send(server.channel, f"{server.sim.bot.user.mention} a fox", attachments=[BAD])
    await server.sim.settled()
    assert text_of(server.sim.last) == BANNED


async def test_a_role_can_be_banned_and_allowed(server: ModeratedServer) -> None:
    await server.command(server.moderator, "moderation ban", target=server.artists)
    assert await server.redraw(user=server.artist) == BANNED
    assert await server.redraw(user=server.alice) == ""
    await server.command(server.moderator, "moderation unban", target=server.artists)
    await server.command(server.moderator, "moderation allow", target=server.artists)
    assert await server.redraw(user=server.artist) == ""
    assert "Only chosen members" in await server.redraw(user=server.alice)
    await server.command(server.moderator, "moderation disallow", target=server.artists)
    assert await server.redraw(user=server.alice) == ""


async def test_a_timeout_says_until_when(server: ModeratedServer) -> None:
    await server.command(server.moderator, "moderation timeout", target=server.bob, minutes=5)
    assert "You may use this bot again <t:" in await server.redraw(user=server.bob)


async def test_slow_mode_says_how_long_to_wait(server: ModeratedServer) -> None:
    await server.command(server.manager, "moderation set slow_mode", seconds=60)
    assert await server.redraw() == ""
    assert "Slow mode is on" in await server.redraw()
    assert await server.redraw(user=server.bob) == ""


async def test_a_rule_is_added_tried_listed_and_removed(server: ModeratedServer) -> None:
    add, test = "moderation rules add", "moderation rules test"
    await server.command(server.manager, add, kind="word", pattern="wolf")
    assert "already such a rule" in await server.command(
        server.manager, add, kind="word", pattern="wolf"
    )
    assert "word: wolf" in await server.command(server.moderator, "moderation rules list")
    tried = await server.moderator.slash(server.log, test, text="a w o l f")
    await server.sim.env.settle()
    assert tried.response is not None
    assert "1. word: wolf" in tried.response.content
    passes = await server.moderator.slash(server.log, test, text="a fox")
    await server.sim.env.settle()
    assert passes.response is not None
    assert "No rule matches" in passes.response.content
    assert await server.services.moderation.cases.cases(server.guild_id) == []
    assert "not allowed" in await server.redraw(prompt="a wolf")
    await server.command(server.manager, "moderation rules remove", number=1)
    assert await server.redraw(prompt="a wolf") == ""
    assert "no rule with the number 1" in await server.command(
        server.manager, "moderation rules remove", number=1
    )


@pytest.mark.parametrize(
    ("kind", "pattern"), [("regex", "(unclosed"), ("regex", ".*"), ("word", "\u200b")]
)
async def test_a_rule_that_cannot_work_is_refused(
    server: ModeratedServer, kind: str, pattern: str
) -> None:
    told = await server.command(server.manager, "moderation rules add", kind=kind, pattern=pattern)
    assert "cannot be used" in told


async def test_the_operators_rules_are_not_shown_to_servers(server: ModeratedServer) -> None:
    await server.services.moderation.lists.add_rule(EVERYWHERE, RuleKind.WORD, "secretword")
    for name, options in (("rules list", {}), ("rules test", {"text": "a secretword"})):
        result = await server.manager.slash(server.log, f"moderation {name}", **options)
        await server.sim.env.settle()
        assert result.response is not None
        assert "secretword" not in result.response.content


async def test_thresholds_hold_for_the_next_request(server: ModeratedServer) -> None:
    assert "refused it" in await server.redraw(server.adult, image=BAD)
    await server.command(
        server.manager, "moderation set thresholds", ordinary=0.0, age_restricted=1.0
    )
    assert await server.redraw(server.adult, image=BAD) == ""
    assert "refused it" in await server.redraw(server.channel)


async def test_the_export_holds_the_record(server: ModeratedServer) -> None:
    await server.command(server.moderator, "moderation ban", target=server.bob, reason="spam")
    await server.command(server.manager, "moderation rules add", kind="word", pattern="wolf")
    await server.redraw(prompt="a wolf")
    await server.redraw(image=BAD)
    result = await server.moderator.slash(server.log, "moderation export")
    await server.sim.env.settle()
    assert result.response is not None
    (file,) = result.response.attachments
    record = json.loads(await file.read())
    assert [case["kind"] for case in record["cases"]] == ["prompt", "source"]
    assert [
        (action["kind"], action["moderator_id"], action["reason"]) for action in record["actions"]
    ] == [("ban", server.moderator.id, "spam"), ("add_rule", server.manager.id, "")]
    assert [entry["subject_id"] for entry in record["restrictions"]] == [server.bob.id]
    assert [rule["pattern"] for rule in record["rules"]] == ["wolf"]


async def test_bans_outlast_the_bots_removal_and_a_restart(tmp_path: Path) -> None:
    async with open_moderated_server(tmp_path) as server:
        await server.command(server.moderator, "moderation ban", target=server.bob)
        guild_id, bob_id = server.guild_id, server.bob.id
    async with open_moderated_server(tmp_path) as server:
        with pytest.raises(UserBanned):
            await server.services.moderation.users.check(Place(guild_id, 1), bob_id, [])


@pytest.mark.parametrize("name", COMMANDS)
async def test_manage_messages_in_one_channel_is_not_enough(
    server: ModeratedServer, name: str
) -> None:
    """Discord lets the member use the command where an overwrite gives the permission."""
    guild = server.sim.env.guild
    helper = guild.add_member(server.sim.env.create_user("helper"))
    overwrite = discord.PermissionOverwrite(manage_messages=True, manage_guild=True)
    server.log = guild.create_text_channel("theirs", overwrites={helper: overwrite})
    options = {
        key: actor(server, str(value)) if key == "target" else value
        for key, value in COMMANDS[name].items()
    }
    assert "Only moderators" in await server.command(helper, f"moderation {name}", **options)
