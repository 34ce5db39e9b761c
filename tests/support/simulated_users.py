"""What tests of the cogs do as users of the simulated Discord."""

from __future__ import annotations

import io
from typing import Any

import discord
from PIL import Image
from simcord.actors import MemberActor
from simcord.builders import ChannelHandle

from bot.jobs.job import Job
from tests.support.pictures import file_of, photo
from tests.support.simulated_discord import SimulatedDiscord, buttons_of, text_of

CAT = ("cat.png", file_of(photo(160, 128)))


async def redraw(
    sim: SimulatedDiscord,
    user: MemberActor | None = None,
    channel: ChannelHandle | None = None,
    prompt: str = "a fox",
    **options: Any,
) -> Job:
    """Have a picture redrawn; returns the delivered job."""
    user = user or sim.alice
    source = {} if "url" in options else {"image": CAT}
    await user.slash(channel or sim.channel, "img2img", prompt=prompt, **source, **options)
    await sim.settled()
    return await newest_job(sim, user)


async def slash(user: MemberActor, channel: ChannelHandle, name: str, **options: Any) -> Any:
    """Use a slash command; returns the result of the interaction."""
    return await user.slash(channel, name, **options)


async def newest_job(sim: SimulatedDiscord, user: MemberActor) -> Job:
    """The user's newest stored job."""
    return (await sim.bot.services.store.jobs_of(user.id))[0]


async def press(
    sim: SimulatedDiscord, user: MemberActor, message: discord.Message, label: str
) -> Any:
    """Click a button of a message; returns the result of the interaction."""
    result = await user.click(message, custom_id=buttons_of(message)[label])
    await sim.settled()
    return result


def reply_of(result: Any) -> str:
    """The text of the only reply to an interaction, which must be ephemeral."""
    [reply] = [*result.followups] or [result.response]
    assert reply is not None
    assert reply.ephemeral
    return str(reply.content)


async def delete_data(user: MemberActor, channel: ChannelHandle) -> str:
    """Use `/privacy delete` and confirm it; the sentence about what was deleted."""
    asked = await slash(user, channel, "privacy delete")
    message = asked.response.message
    await user.click(message, custom_id="redraw:erase:delete")
    return text_of(asked.response.message)


async def picture_of(attachment: Any) -> Image.Image:
    """An attachment of a message or a reply, decoded."""
    return Image.open(io.BytesIO(await attachment.read()))


async def set_gallery(sim: SimulatedDiscord) -> ChannelHandle:
    """A channel that is the server's gallery."""
    channel: ChannelHandle = sim.env.guild.create_text_channel("gallery")
    await sim.bot.services.store.guild_settings.set_gallery(sim.env.guild.id, channel.id)
    return channel


def make_age_restricted(sim: SimulatedDiscord, channel: ChannelHandle) -> None:
    """simcord does not model age restriction, so the bot's own view of the channel is changed."""
    seen = sim.bot.get_channel(channel.id)
    assert isinstance(seen, discord.TextChannel)
    seen.nsfw = True


async def private_thread(
    sim: SimulatedDiscord, *members: MemberActor, name: str = "thread"
) -> ChannelHandle:
    """A private thread below the channel of the simulated server."""
    parent = sim.bot.get_channel(sim.channel.id)
    assert isinstance(parent, discord.TextChannel)
    thread = await parent.create_thread(name=name, type=discord.ChannelType.private_thread)
    for member in members:
        await thread.add_user(discord.Object(member.id))
    await sim.env.settle()
    return next(handle for handle in sim.channel.threads if handle.id == thread.id)
