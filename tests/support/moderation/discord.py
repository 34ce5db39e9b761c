"""A simulated server with moderators, a moderation log and an age-restricted channel."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import discord
from PIL import Image
from simcord.actors import MemberActor
from simcord.builders import ChannelHandle

from bot.client import Services
from bot.moderation.model import GuildPolicy
from inference import ImageRequest, ImageResult, InferenceService, Preview, Progress
from tests.support.moderation.pictures import suspicious
from tests.support.pictures import file_of, photo
from tests.support.services import ScriptedService
from tests.support.simulated_discord import SimulatedDiscord, open_simulated_discord

CAT = ("cat.png", file_of(photo(384, 256)))
BAD = ("bad.png", file_of(suspicious()))
# The word in a prompt for which `Painter` draws a suspicious picture.
BAD_WORD = "blush"


class Painter(ScriptedService):
    """Draws a suspicious picture where the prompt asks for one, else inverts the source. Each
    step has a small copy of the result as its preview."""

    async def generate(
        self, request: ImageRequest, on_progress: Callable[[Progress], None] | None = None
    ) -> ImageResult:
        """As the service does."""
        size = (request.width, request.height)
        drawn = bytes(255 - value for value in request.pixels) or bytes(3 * size[0] * size[1])
        if BAD_WORD in request.prompt:
            drawn = suspicious().resize(size).tobytes()
        small = Image.frombytes("RGB", size, drawn).resize((size[0] // 4, size[1] // 4))
        preview = Preview(pixels=small.tobytes(), width=small.width, height=small.height)

        def report(step: Progress) -> None:
            assert on_progress is not None
            on_progress(replace(step, preview=preview if request.preview else None))

        result = await super().generate(request, report if on_progress else None)
        return replace(result, pixels=drawn)


class ModeratedServer:
    """`alice` and `bob` are ordinary members; `manager` may manage the server, `operator` owns the
    application and is an ordinary member."""

    def __init__(self, sim: SimulatedDiscord) -> None:
        self.sim = sim
        guild = sim.env.guild
        self.guild_id: int = guild.id
        self.channel = sim.channel
        self.log: ChannelHandle = guild.create_text_channel("log")
        self.adult: ChannelHandle = guild.create_text_channel("adult")
        # The simulated Discord has no age-restricted channels.
        adult = sim.bot.get_channel(self.adult.id)
        assert isinstance(adult, discord.TextChannel)
        adult.nsfw = True
        permissions = discord.Permissions
        moderators = guild.create_role("mods", permissions=permissions(manage_messages=True))
        managers = guild.create_role(
            "managers", permissions=permissions(manage_messages=True, manage_guild=True)
        )
        self.artists = guild.create_role("artists")
        add, user = guild.add_member, sim.env.create_user
        self.alice, self.bob = sim.alice, sim.bob
        self.moderator: MemberActor = add(user("moderator"), roles=[moderators])
        self.manager: MemberActor = add(user("manager"), roles=[managers])
        self.artist: MemberActor = add(user("artist"), roles=[self.artists])
        self.operator: MemberActor = add(user("operator"), roles=[moderators])
        sim.bot.owner_id = self.operator.id

    @property
    def services(self) -> Services:
        """The bot's services."""
        return self.sim.bot.services

    async def open_log(self, **policy: Any) -> None:
        """Have the log in `log`, with further settings."""
        await self.services.moderation.lists.set_policy(
            GuildPolicy(guild_id=self.guild_id, log_channel_id=self.log.id, **policy)
        )

    @property
    def entry(self) -> discord.Message:
        """The newest message in the log."""
        message = self.log.last_message
        assert message is not None
        return message

    async def redraw(
        self,
        channel: ChannelHandle | None = None,
        *,
        user: MemberActor | None = None,
        image: tuple[str, bytes] = CAT,
        prompt: str = "a fox",
        options: Mapping[str, Any] = MappingProxyType({}),
    ) -> str:
        """Ask for a picture and wait for its end; what the user alone was told."""
        actor, where = user or self.alice, channel or self.channel
        values = {"prompt": prompt, "image": image, **options}
        result = await actor.slash(where, "img2img", **values)
        await self.sim.settled()
        return said(result)

    async def command(self, user: MemberActor, name: str, /, **options: Any) -> str:
        """Use a command in the log's channel; what the user was told."""
        result = await user.slash(self.log, name, **options)
        await self.sim.env.settle()
        return said(result)

    async def click(
        self, user: MemberActor, message: discord.Message, label: str, **fields: str
    ) -> str:
        """Press a button, and fill in its form if it opens one; what the user was told."""
        result = await user.click(message, label=label)
        if result.modal is not None:
            result = await user.submit_modal(result, fields)
        await self.sim.env.settle()
        return said(result)


def said(result: Any) -> str:
    """Everything that an interaction told its user alone."""
    messages = [result.response, *result.followups]
    return "\n".join(m.content for m in messages if m is not None and m.ephemeral and m.content)


def pictures_in(channel: ChannelHandle) -> list[discord.Attachment]:
    """Every attachment that the bot posted in a channel."""
    return [
        attachment
        for message in channel.history()
        if message.author.bot
        for attachment in message.attachments
    ]


@asynccontextmanager
async def open_moderated_server(
    folder: Path, engine: InferenceService | None = None, **changes: Any
) -> AsyncIterator[ModeratedServer]:
    """The bot with the real classifier, in that server."""
    values = {"queue_limit_per_user": 50, "moderation": True, **changes}
    async with open_simulated_discord(folder, engine or Painter(), **values) as sim:
        yield ModeratedServer(sim)
