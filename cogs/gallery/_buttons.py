"""*Share*: posts a result in the server's gallery, with credit."""

from __future__ import annotations

import discord

from bot.errors import StoredPictureMissing
from bot.i18n.translate import translate
from bot.jobs.job import Job
from bot.replies import reply_privately
from cogs.shared.access import AccessRule
from cogs.shared.errors import GalleryClosed, JobNotFound, NoGallery
from cogs.shared.job_buttons import Action, Interaction, JobAction


class Share(JobAction):
    """Post the result in the gallery. A spoiler stays a spoiler."""

    action = Action.SHARE
    access = AccessRule.OWNER_OR_MODERATOR

    async def run(self, interaction: Interaction, job: Job) -> None:
        """Draw the result's message again and send it to the gallery's channel.

        Raises:
            NoGallery: no channel is set.
            JobNotFound: a picture of the job is not stored any more.
            GalleryClosed: the bot cannot post in the channel.
        """
        services = interaction.client.services
        channel_id = services.settings.gallery_channel
        if interaction.guild_id is not None:
            channel_id = (
                await services.store.guild_settings.gallery(interaction.guild_id) or channel_id
            )
        if channel_id is None:
            raise NoGallery
        await interaction.response.defer(thinking=True, ephemeral=True)
        try:
            answer = await services.delivery.render(job)
        except StoredPictureMissing as error:
            raise JobNotFound from error
        credit = translate(
            job.locale, "img2img.credit", user=f"<@{job.user_id}>", source=job.source_name
        )
        view = discord.ui.LayoutView(timeout=None)
        view.add_item(discord.ui.TextDisplay(credit))
        for item in answer.view.children:
            view.add_item(item)
        channel = interaction.client.get_partial_messageable(channel_id)
        try:
            await channel.send(view=view, files=[upload.file() for upload in answer.files])
        except discord.HTTPException as error:
            raise GalleryClosed from error
        await reply_privately(
            interaction,
            translate(interaction.locale, "img2img.shared", channel=f"<#{channel_id}>"),
        )
