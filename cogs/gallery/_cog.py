"""Sharing: a server names a channel, and people put their pictures there with credit."""

from __future__ import annotations

import discord
from discord import app_commands
from discord.ext import commands

from bot.client import RedrawBot
from bot.errors import RequestError
from bot.i18n.translate import localized_name, translate
from bot.jobs.job import Job
from bot.replies import reply_privately
from cogs.shared.job_buttons import JobNotFound, action, check_owner

Interaction = discord.Interaction[RedrawBot]


class NoGallery(RequestError):
    """Neither the server nor the operator named a channel."""

    text = "There is no channel for sharing here: a moderator can name one with /settings gallery."


class GalleryClosed(RequestError):
    """The channel is gone, or the bot may not post there."""

    text = "I cannot post in the gallery's channel: a moderator should look at its permissions."


@action("share")
async def share(interaction: Interaction, job: Job, _number: int) -> None:
    """Post the result in the gallery; a spoiler stays one."""
    check_owner(interaction, job)
    services = interaction.client.services
    channel_id = services.settings.gallery_channel
    if interaction.guild_id is not None:
        channel_id = await services.store.gallery_of(interaction.guild_id) or channel_id
    if channel_id is None:
        raise NoGallery
    await interaction.response.defer(thinking=True, ephemeral=True)
    try:
        answer = await services.delivery.draw(job)
    except FileNotFoundError as error:
        raise JobNotFound from error
    source = job.source_name
    credit = translate(job.locale, "img2img.credit", user=f"<@{job.user_id}>", source=source)
    view = discord.ui.LayoutView(timeout=None)
    view.add_item(discord.ui.TextDisplay(credit))
    for item in answer.view.children:
        view.add_item(item)
    channel = interaction.client.get_partial_messageable(channel_id)
    try:
        await channel.send(view=view, files=[upload.file() for upload in answer.files])
    except discord.HTTPException as error:
        raise GalleryClosed from error
    where = f"<#{channel_id}>"
    await reply_privately(
        interaction, translate(interaction.locale, "img2img.shared", channel=where)
    )


@app_commands.default_permissions(manage_guild=True)
@app_commands.guild_only()
class Settings(
    commands.GroupCog,
    group_name=localized_name("gallery.command"),
    group_description=localized_name("gallery.description"),
):
    """`/settings gallery`, for those who manage the server."""

    def __init__(self, bot: RedrawBot) -> None:
        self.bot = bot

    @app_commands.command(
        name=localized_name("gallery.gallery.command"),
        description=localized_name("gallery.gallery.description"),
    )
    @app_commands.describe(channel=localized_name("gallery.option.channel"))
    async def gallery(
        self, interaction: Interaction, channel: discord.TextChannel | None = None
    ) -> None:
        """Name the channel, or none."""
        assert interaction.guild_id is not None
        chosen = channel.id if channel else None
        await self.bot.services.store.set_gallery(interaction.guild_id, chosen)
        sentence = (
            translate(interaction.locale, "gallery.set", channel=channel.mention)
            if channel
            else translate(interaction.locale, "gallery.unset")
        )
        await reply_privately(interaction, sentence)
