"""Where the bot works: servers, direct messages, and commands that users installed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import discord
import pytest
import pytest_asyncio
from simcord import interactions

from cogs.shared.forms import FORM_SECONDS
from tests.support.services import ScriptedService
from tests.support.simulated_discord import (
    SimulatedDiscord,
    buttons_of,
    open_simulated_discord,
    text_of,
)
from tests.support.simulated_users import CAT, newest_job, press, redraw, reply_of, slash

# What Discord sends as `app_permissions` for a command that a user installed, in a server without
# the bot: Embed Links, Attach Files, Mention Everyone, Use External Emojis, Send Polls.
USER_INSTALL_PERMISSIONS = 562949953863680


@pytest_asyncio.fixture
async def sim(tmp_path: Path) -> AsyncIterator[SimulatedDiscord]:
    async with open_simulated_discord(tmp_path, ScriptedService(), user_install=True) as opened:
        yield opened


def as_user_install(
    monkeypatch: pytest.MonkeyPatch, permissions: int = USER_INSTALL_PERMISSIONS
) -> None:
    """Interactions come as from a command that the user installed, where the bot is no member."""
    plain = interactions.base_payload

    def payload(*args: Any, **options: Any) -> Any:
        record, data = plain(*args, **options)
        user = data["member"]["user"]["id"]
        owners = {"authorizing_integration_owners": {"1": user}}
        return record, data | owners | {"app_permissions": str(permissions)}

    monkeypatch.setattr(interactions, "base_payload", payload)


async def test_a_user_installed_command_works_in_a_server_without_the_bot(
    sim: SimulatedDiscord, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_user_install(monkeypatch)
    await redraw(sim)
    assert sim.last.attachments
    await press(sim, sim.alice, sim.last, "Again")
    assert len(await sim.bot.services.store.jobs_of(sim.alice.id)) == 2


async def test_share_is_not_offered_in_a_server_without_the_bot(
    sim: SimulatedDiscord, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_user_install(monkeypatch)
    monkeypatch.setattr(sim.bot, "get_guild", lambda _id: None)
    await redraw(sim)
    assert "Share" not in buttons_of(sim.last)
    assert "Again" in buttons_of(sim.last)


async def test_a_user_installed_command_needs_attach_files(
    sim: SimulatedDiscord, monkeypatch: pytest.MonkeyPatch
) -> None:
    without = discord.Permissions(USER_INSTALL_PERMISSIONS)
    without.update(attach_files=False)
    as_user_install(monkeypatch, without.value)
    result = await slash(sim.alice, sim.channel, "img2img", prompt="x", image=CAT)
    assert "Attach Files" in reply_of(result)


async def test_a_reply_that_discord_makes_ephemeral_is_a_private_job(
    sim: SimulatedDiscord, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Discord does so for user-installed commands where Use External Apps is denied."""
    as_user_install(monkeypatch)
    monkeypatch.setattr(discord.InteractionCallbackResponse, "is_ephemeral", lambda _: True)
    job = await redraw(sim)
    assert job.destination.private
    assert "no longer know" in reply_of(await slash(sim.bob, sim.channel, "show", id=job.id))


async def test_the_bot_leaves_servers_that_are_not_allowed(tmp_path: Path) -> None:
    async with open_simulated_discord(tmp_path, ScriptedService(), allowed_guild_ids=(1,)) as sim:
        await sim.env.settle()
        assert list(sim.bot.guilds) == []


async def test_commands_buttons_and_mentions_are_refused_in_other_servers(
    sim: SimulatedDiscord,
) -> None:
    await redraw(sim)
    message = sim.last
    sim.bot.services.settings.allowed_guild_ids = (1,)
    refused = "not available in this server"
    command = await slash(sim.alice, sim.channel, "img2img", prompt="x", image=CAT)
    assert refused in reply_of(command)
    assert refused in reply_of(await slash(sim.alice, sim.channel, "history"))
    assert refused in reply_of(await press(sim, sim.alice, message, "Again"))
    assert sim.bot.user is not None
    await sim.alice.send(sim.channel, f"{sim.bot.user.mention} x", attachments=[CAT])
    assert refused in text_of(sim.last)
    assert await sim.alice.autocomplete(sim.channel, "img2img", "style", "pix") == []
    assert len(await sim.bot.services.store.jobs_of(sim.alice.id)) == 1


@pytest.mark.parametrize(("setting", "expected"), [("on", True), ("off", False)])
async def test_direct_messages_can_be_turned_off(
    tmp_path: Path, setting: str, expected: bool
) -> None:
    async with open_simulated_discord(tmp_path, ScriptedService(), direct_messages=setting) as sim:
        command = next(c for c in sim.bot.tree.get_commands() if c.name == "img2img")
        assert (1 in command.to_dict(sim.bot.tree)["contexts"]) is expected
        dora = sim.env.create_user("dora")
        files = sim.env.backend.store_attachments(dora.dm_channel.id, [CAT])
        await dora.send_dm("as a statue", attachments=files)
        await sim.settled()
        assert bool(await sim.bot.services.store.jobs_of(dora.id)) is expected
        answer = dora.dm_channel.last_message
        assert answer is not None
        assert ("does not work in direct messages" in text_of(answer)) is not expected


def published(sim: SimulatedDiscord) -> int:
    """How often the commands were published to Discord."""
    return sum(
        entry.method == "PUT" and entry.path.endswith("/commands")
        for entry in sim.env.http_requests
    )


async def test_the_commands_are_published_only_when_they_have_changed(
    sim: SimulatedDiscord, tmp_path: Path
) -> None:
    assert published(sim) == 1
    await sim.restart(ScriptedService())
    assert published(sim) == 1
    (tmp_path / "data/commands.sha256").write_text("another digest")
    await sim.restart(ScriptedService())
    assert published(sim) == 2
    assert (await newest(sim)).prompt == "after"


async def newest(sim: SimulatedDiscord) -> Any:
    await redraw(sim, prompt="after")
    return await newest_job(sim, sim.alice)


async def test_a_closed_form_does_not_stay_in_memory(sim: SimulatedDiscord) -> None:
    await redraw(sim)
    await press(sim, sim.alice, sim.last, "Edit")
    open_forms = sim.bot._connection._view_store._modals
    assert len(open_forms) == 1
    await sim.env.advance_time(FORM_SECONDS + 1)
    assert len(open_forms) == 0
