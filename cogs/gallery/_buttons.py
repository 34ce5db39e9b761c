"""*Share* posts a result in the server's gallery; *Remove* deletes it there."""

from __future__ import annotations

import contextlib

import discord

from bot.errors import StoredPictureMissing
from bot.i18n.translate import translate
from bot.jobs.job import Job
from bot.replies import reply_privately
from cogs.gallery._message import render_shared
from cogs.requests.posting import check_posting
from cogs.shared.access import AccessRule, decide_share
from cogs.shared.channel_facts import channel_facts, job_facts, raise_refusal
from cogs.shared.errors import AlreadyShared, GalleryClosed, JobNotFound, NoGallery
from cogs.shared.job_buttons import Action, Interaction, JobAction


class Share(JobAction):
    """Post the result in the gallery, once. A spoiler stays a spoiler."""

    action = Action.SHARE
    access = AccessRule.OWNER

    async def run(self, interaction: Interaction, job: Job) -> None:
        """Send the result to the gallery's channel.

        Raises:
            UserError: the user may not use the bot here; see `check_posting`.
            NoGallery: no channel is set.
            AgeRestricted: the result is from an age-restricted channel and the gallery is not one.
            ResultRefused, ResultNotChecked, PromptRefused, ChecksUnavailable: moderation does not
                allow it there.
            AlreadyShared: the result is in the gallery.
            JobNotFound: a picture of the job is not stored any more.
            GalleryClosed: the bot cannot post in the channel.
        """
        await check_posting(interaction, in_gallery=True)
        bot = interaction.client
        store = bot.services.store
        channel_id = bot.services.settings.gallery_channel
        if interaction.guild_id is not None:
            channel_id = await store.guild_settings.gallery(interaction.guild_id) or channel_id
        if channel_id is None:
            raise NoGallery
        await interaction.response.defer(thinking=True, ephemeral=True)
        gallery = await channel_facts(bot, interaction.user, channel_id)
        if gallery is None:
            raise GalleryClosed
        raise_refusal(decide_share(await job_facts(interaction, job), gallery))
        await bot.services.checks.check_posted_prompt(job, gallery.guild_id, gallery.id)
        if not await store.sharing.start(job.id, channel_id):
            raise AlreadyShared(channel=f"<#{job.share_channel_id or channel_id}>")
        message_id = None
        try:
            content = await render_shared(bot.services, job, gallery)
            message = await bot.get_partial_messageable(channel_id).send(
                view=content.view,
                files=[upload.file() for upload in content.files],
                # Discord drops a second message with the same nonce.
                nonce=f"share-{job.id}",
            )
            message_id = message.id
        except StoredPictureMissing as error:
            raise JobNotFound from error
        except discord.HTTPException as error:
            raise GalleryClosed from error
        finally:
            await store.sharing.set_message(job.id, message_id)
        await reply_privately(
            interaction,
            translate(interaction.locale, "img2img.shared", channel=f"<#{channel_id}>"),
        )


class Remove(JobAction):
    """Delete the gallery message that the button belongs to. The job stays."""

    action = Action.REMOVE
    access = AccessRule.OWNER_OR_MODERATOR
    on_message_only = True

    async def run(self, interaction: Interaction, job: Job) -> None:
        """Delete the message; the result can be shared again."""
        await self.run_without_job(interaction)
        await interaction.client.services.store.sharing.set_message(job.id, None)

    async def run_without_job(self, interaction: Interaction) -> None:
        """Delete the message."""
        await interaction.response.defer()
        with contextlib.suppress(discord.NotFound):
            await interaction.delete_original_response()
