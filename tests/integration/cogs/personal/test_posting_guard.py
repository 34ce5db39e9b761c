"""Buttons that post a stored picture ask what a request is asked: channels, roles, rules."""

from __future__ import annotations

from collections.abc import AsyncIterator

import discord
import pytest
import pytest_asyncio

from bot.moderation.detectors.prompt_rules import RuleKind
from bot.moderation.errors import ChecksUnavailable
from bot.moderation.model import Place
from tests.support.services import ScriptedService
from tests.support.simulated_discord import SimulatedDiscord, open_shared_discord
from tests.support.simulated_users import press, redraw, reply_of, set_gallery

pytestmark = pytest.mark.asyncio(loop_scope="module")

POSTING = ("Larger", "Post for all", "Share")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sim(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SimulatedDiscord]:
    folder = tmp_path_factory.mktemp("posting-guard")
    async with open_shared_discord(folder, ScriptedService()) as opened:
        await set_gallery(opened)
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shown(sim: SimulatedDiscord) -> dict[str, discord.Message]:
    """Label of a button that posts → a message with the button."""
    await redraw(sim, prompt="a wolf")
    result = sim.last
    depth = (await press(sim, sim.alice, result, "Depth")).response.message
    return {"Larger": result, "Post for all": depth, "Share": result}


async def refusal(sim: SimulatedDiscord, shown: dict[str, discord.Message], label: str) -> str:
    """What the owner is told who presses the button; nothing may be posted."""
    before = sim.last.id
    sentence = reply_of(await press(sim, sim.alice, shown[label], label))
    assert sim.last.id == before
    job = (await sim.bot.services.store.jobs_of(sim.alice.id))[0]
    assert job.share_channel_id is None
    return sentence


@pytest.mark.parametrize("label", POSTING)
async def test_a_prompt_that_breaks_a_later_rule_is_not_posted_again(
    sim: SimulatedDiscord, shown: dict[str, discord.Message], label: str
) -> None:
    lists, guild_id = sim.bot.services.moderation.lists, sim.env.guild.id
    await lists.add_rule(guild_id, RuleKind.WORD, "wolf")
    try:
        assert "prompt is not allowed here" in await refusal(sim, shown, label)
    finally:
        (rule,) = await lists.rules(Place(guild_id, sim.channel.id))
        await lists.remove_rule(guild_id, rule.id)


@pytest.mark.parametrize("label", POSTING)
async def test_a_rule_that_does_not_end_refuses_a_post(
    sim: SimulatedDiscord,
    shown: dict[str, discord.Message],
    label: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def find_rules(*_: object) -> None:
        raise ChecksUnavailable

    monkeypatch.setattr(sim.bot.services.moderation, "find_rules", find_rules)
    assert "content checks are not running" in await refusal(sim, shown, label)


@pytest.mark.parametrize("label", POSTING)
@pytest.mark.parametrize(
    ("setting", "sentence"),
    [("channels", "only in these channels"), ("roles", "only with one of these roles")],
)
async def test_a_post_needs_a_channel_and_a_role_that_the_server_chose(
    sim: SimulatedDiscord,
    shown: dict[str, discord.Message],
    label: str,
    setting: str,
    sentence: str,
) -> None:
    settings, guild_id = sim.bot.services.store.guild_settings, sim.env.guild.id
    await settings.change(guild_id, **{setting: (1,)})
    try:
        assert sentence in await refusal(sim, shown, label)
    finally:
        await settings.change(guild_id, **{setting: ()})


@pytest.mark.parametrize("label", POSTING[:2])
async def test_a_post_needs_the_bots_permissions(
    sim: SimulatedDiscord,
    shown: dict[str, discord.Message],
    label: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    none = discord.Permissions.none()
    monkeypatch.setattr(discord.Interaction, "app_permissions", property(lambda _: none))
    assert "I need View Channel" in await refusal(sim, shown, label)
