"""The whole bot, with every cog, in the test process and connected to the fake Discord."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from bot.app import open_bot
from bot.cli.connection import log_in, stay_connected
from bot.client import RedrawBot
from bot.config import Settings
from tests.support.bots.edit_limiter import instant_edit_limiter
from tests.support.bots.minimal_bot import point_discord_py_at
from tests.support.fake_discord.objects import LOADING, Interaction, Message
from tests.support.fake_discord.server import FakeDiscord, fake_discord
from tests.support.fake_discord.state import DiscordState
from tests.support.services import ScriptedService

# As many digits as Discord's ids have: discord.py recognises mentions by them.
BOT = 11 * 10**17
# The names that discord.py gives to its tasks for events, commands, and buttons and forms.
HANDLERS = ("discord.py: ", "CommandTree-invoker", "discord-ui-")


def picture_file(colour: str = "red") -> bytes:
    """A small PNG."""
    out = io.BytesIO()
    Image.new("RGB", (96, 64), colour).save(out, "PNG")
    return out.getvalue()


@dataclass
class WholeBot:
    """The bot and the Discord that it is connected to."""

    discord: FakeDiscord
    bot: RedrawBot
    service: ScriptedService
    gateway: asyncio.Task[None]

    @property
    def state(self) -> DiscordState:
        """The state of the fake Discord."""
        return self.discord.discord_state

    def messages(self, since: int = 0) -> list[Message]:
        """The bot's messages that are shown now, oldest first."""
        return [
            message
            for message in self.state.messages.values()
            if message.author_id == BOT and not message.deleted and message.id > since
        ]

    async def command(self, channel_id: int, user_id: int, name: str, **options: Any) -> Replies:
        """Send a slash command and wait until it is answered."""
        sent = await self.discord.command(BOT, channel_id, user_id, name, **options)
        return await self._replies(sent)

    async def click(self, user_id: int, message: Message, action: str) -> Replies:
        """Press the job button with this action."""
        [custom_id] = [id_ for id_ in message.custom_ids if id_.startswith(f"redraw:{action}:")]
        return await self._replies(await self.discord.click(BOT, user_id, message, custom_id))

    async def message_command(self, user_id: int, name: str, target: Message) -> Replies:
        """Use a command of a message's context menu."""
        return await self._replies(await self.discord.message_command(BOT, user_id, name, target))

    async def submit(self, opened: Interaction, values: dict[int, str]) -> Replies:
        """Send the form that the bot opened, with these texts in the fields of these numbers."""
        return await self._replies(await self.discord.submit(opened, values))

    async def redraw(self, channel_id: int, user_id: int, **options: Any) -> Message:
        """Ask for a picture with an attachment, and return the answer."""
        options = {"prompt": "a fox", "image": picture_file(), **options}
        replies = await self.command(channel_id, user_id, "img2img", **options)
        [message] = replies.messages
        assert message.files, message.text
        return message

    async def write(self, user_id: int, channel_id: int, content: str, **options: Any) -> Replies:
        """Write a message and wait until the bot has handled it."""
        since = self.state.snowflake()
        arrived = asyncio.create_task(
            self.bot.wait_for("message", check=lambda m: m.author.id == user_id and m.id > since)
        )
        await asyncio.sleep(0)
        await self.discord.write(user_id, channel_id, content, **options)
        async with asyncio.timeout(60):
            await asyncio.wait({arrived, self.gateway}, return_when=asyncio.FIRST_COMPLETED)
        if self.gateway.done():
            self.gateway.result()
        await self._handled()
        return Replies(self.messages(since), None)

    async def _handled(self) -> None:
        """Wait until discord.py's handlers of events have ended and every job is answered."""
        async with asyncio.timeout(60):
            while running := [t for t in asyncio.all_tasks() if t.get_name().startswith(HANDLERS)]:
                await asyncio.wait(running)
            await self.bot.services.runner.wait_idle()

    async def _replies(self, interaction: Interaction | None) -> Replies:
        assert interaction is not None, "the bot is not connected"
        await self.until(lambda: interaction.acknowledged_after is not None)
        await self._handled()
        await self.until(lambda: not any(m.flags & LOADING for m in self.messages(interaction.id)))
        return Replies(self.messages(interaction.id), interaction)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until Discord's state satisfies the condition."""
        async with asyncio.timeout(60):
            while not condition():
                self.state.changed.clear()
                await self.state.changed.wait()


@dataclass
class Replies:
    """What the bot sent after an action of a user."""

    messages: list[Message]
    interaction: Interaction | None

    @property
    def text(self) -> str:
        """The text of all messages."""
        return "\n".join(message.text for message in self.messages)

    @property
    def pictures(self) -> list[bytes]:
        """The files of all messages."""
        return [data for message in self.messages for data in message.files.values()]

    @property
    def public(self) -> list[Message]:
        """The messages that others see, too."""
        return [message for message in self.messages if not message.ephemeral]


@asynccontextmanager
async def open_whole_bot(
    folder: Path, state: DiscordState, service: ScriptedService | None = None, **changes: Any
) -> AsyncIterator[WholeBot]:
    """The bot with these settings, logged in, connected and ready."""
    service = service or ScriptedService()
    values = {"data_dir": folder / "data", "model": "noise", "moderation": False, **changes}
    async with fake_discord(state) as server:
        point_discord_py_at(server.port)
        # The files that components show are fetched like links.
        values = {"allowed_hosts": ("127.0.0.1",), "allowed_ports": (server.port,)} | values
        settings = Settings(_env_file=None, **values)
        async with open_bot(settings, service, edit_limiter=instant_edit_limiter()) as bot, bot:
            # discord.py waits so long for further guilds before it reports that it is ready.
            bot._connection.guild_ready_timeout = 0.05
            await log_in(bot, f"token-of-{BOT}")
            async with bot.services.runner:
                gateway = asyncio.create_task(stay_connected(bot))
                try:
                    async with asyncio.timeout(60):
                        await bot.wait_until_ready()
                    yield WholeBot(server, bot, service, gateway)
                finally:
                    await bot.close()
                    await asyncio.gather(gateway, return_exceptions=True)
