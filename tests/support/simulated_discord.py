"""The whole bot in a simulated Discord (simcord), for tests that act as users do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import discord
import pytest
import simcord
from simcord.actors import MemberActor
from simcord.builders import ChannelHandle

from bot.app import open_bot
from bot.client import RedrawBot
from bot.config import Settings
from bot.errors import UserError
from inference import InferenceService
from tests.support.bots.edit_limiter import instant_edit_limiter


@dataclass
class SimulatedDiscord:
    """A server with a channel, two members and the bot."""

    env: simcord.Env
    bot: RedrawBot
    channel: ChannelHandle
    alice: MemberActor
    bob: MemberActor
    services: AsyncExitStack
    runner: AsyncExitStack

    async def restart(self, service: InferenceService) -> None:
        """Stop the bot and start another one with the same settings and data directory."""
        settings = self.bot.services.settings
        await self.runner.aclose()
        await self.services.aclose()
        self.bot = await self.services.enter_async_context(_open_bot(settings, service))
        await self.env.restart_bot(self.bot)
        await self.runner.enter_async_context(self.bot.services.runner)

    async def settled(self) -> None:
        """Wait until every accepted job is answered and shown."""
        await asyncio.wait_for(self.bot.services.runner.wait_idle(), 60)
        await self.env.settle()

    async def erase_pictures(self) -> None:
        """Delete all that is stored about the two members."""
        for user in (self.alice, self.bob):
            await self.bot.services.store.erase_user(user.id)

    async def shown(self, text: str) -> None:
        """Wait until the newest message shows this text or a button with this label."""
        async with asyncio.timeout(60):
            # simcord has no event for a changed message.
            while text not in text_of(self.last) + str(buttons_of(self.last)):  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    @property
    def last(self) -> discord.Message:
        """The newest message in the channel."""
        message = self.channel.last_message
        assert message is not None
        return message


def settings_for(folder: Path, **changes: Any) -> Settings:
    """Settings that do not depend on the environment or on `.env`."""
    values = {"data_dir": folder / "data", "model": "noise", "moderation": False, **changes}
    return Settings(_env_file=None, **values)


def _open_bot(
    settings: Settings, service: InferenceService
) -> AbstractAsyncContextManager[RedrawBot]:
    return open_bot(settings, service, edit_limiter=instant_edit_limiter())


@asynccontextmanager
async def _discord(bot: RedrawBot, bugs_expected: int, shards: int) -> AsyncIterator[simcord.Env]:
    """As `simcord.run`, which cannot be used in a fixture: pytest leaves it in another context."""
    # The developer portal grants the intents that the bot asks for, and no others.
    env = simcord.Env(bot, settle_timeout=120.0, shard_count=shards, approved_intents=bot.intents)
    await env.start()
    try:
        yield env
    finally:
        await env.shutdown()
    bugs = [e for e in env.errors if not isinstance(getattr(e, "original", e), UserError)]
    assert len(bugs) <= bugs_expected, bugs


@asynccontextmanager
async def open_shared_discord(
    folder: Path, service: InferenceService, **changes: Any
) -> AsyncIterator[SimulatedDiscord]:
    """As `open_simulated_discord`, for a fixture that the tests of a module share.

    Message edits have no rate limit: with it, a test would wait for those before it.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bot.delivery.edit_limiter.EDITS", 10**6)
        async with open_simulated_discord(
            folder, service, queue_limit_per_user=50, **changes
        ) as opened:
            yield opened


@asynccontextmanager
async def open_simulated_discord(
    folder: Path,
    service: InferenceService,
    *,
    bugs_expected: int = 0,
    shards: int = 1,
    **changes: Any,
) -> AsyncIterator[SimulatedDiscord]:
    """The bot with these settings in a new simulated Discord. Unexpected errors fail the test."""
    async with AsyncExitStack() as services:
        bot = await services.enter_async_context(
            _open_bot(settings_for(folder, **changes), service)
        )
        async with _discord(bot, bugs_expected, shards) as env, AsyncExitStack() as runner:
            await runner.enter_async_context(bot.services.runner)
            guild = env.create_guild("Test")
            channel = guild.create_text_channel("pictures")
            alice = guild.add_member(env.create_user("alice"))
            bob = guild.add_member(env.create_user("bob"))
            yield SimulatedDiscord(env, bot, channel, alice, bob, services, runner)


def text_of(message: discord.Message) -> str:
    """The text of a message and of its components."""
    parts = [message.content]
    view = discord.ui.LayoutView.from_message(message)
    parts += [
        item.content for item in view.walk_children() if isinstance(item, discord.ui.TextDisplay)
    ]
    return "\n".join(part for part in parts if part)


def buttons_of(message: discord.Message) -> dict[str, str]:
    """Label → custom id of every button in a message."""
    view = discord.ui.LayoutView.from_message(message)
    return {
        str(item.label): str(item.custom_id)
        for item in view.walk_children()
        if isinstance(item, discord.ui.Button)
    }
