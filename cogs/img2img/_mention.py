"""Mentioning the bot in reply to a picture: `@Redraw as a watercolour`."""

from __future__ import annotations

import logging
import re

import discord
from discord.ext import commands

from bot.client import RedrawBot
from bot.errors import Unexpected, UserError
from bot.i18n.error_text import translate_error
from bot.i18n.translate import translate
from bot.jobs.job import Destination, new_job_id
from bot.permissions import MissingPermissions
from cogs.img2img._request import Draft, check_draft, submit, verify
from cogs.img2img._sources import DownloadedImage, ImageCandidate, download, pictures_in
from cogs.shared.errors import NoSource

log = logging.getLogger(__name__)

# The default upload limit of a message, which a server's boosts raise.
# https://discord.com/developers/docs/reference#uploading-files
UPLOAD_LIMIT = 10 * 1024 * 1024
_MENTION = re.compile(r"<@[!&]?\d+>")


class Mention(commands.Cog):
    """Listens for messages that mention the bot.

    Discord sends the content of such a message also without the message content intent. The
    message that it replies to has attachments only if it is the bot's own or the intent is on.
    """

    def __init__(self, bot: RedrawBot) -> None:
        self.bot = bot

    @commands.Cog.listener("on_message")
    async def redraw_mentioned(self, message: discord.Message) -> None:
        """Redraw the attached picture or that of the replied-to message, or explain how to ask."""
        user = self.bot.user
        if user is None or message.author.bot or user not in message.mentions:
            return
        prompt = " ".join(_MENTION.sub(" ", message.content).split())
        locale = str(message.guild.preferred_locale) if message.guild else "en-US"
        try:
            await self._redraw(message, prompt, locale)
        except UserError as error:
            self.bot.metrics.request_refused(error)
            await self._reply(message, translate_error(locale, error))
        except discord.HTTPException as error:
            log.warning("a mention could not be answered: %s", error)
        except Exception:
            reference = new_job_id()
            log.exception("unexpected error, reference %s", reference)
            await self._reply(message, translate_error(locale, Unexpected(reference=reference)))

    async def _redraw(self, message: discord.Message, prompt: str, locale: str) -> None:
        services = self.bot.services
        candidate = await _find_candidate(message)
        if candidate is None and not prompt:
            await self._reply(message, translate(locale, "img2img.mention"))
            return
        if candidate is None:
            raise NoSource
        draft = check_draft(Draft(prompt=prompt[:1000]), services)
        _check_permissions(message)
        source = await verify(
            services,
            DownloadedImage(await download(self.bot, candidate), candidate.name, candidate.spoiler),
        )
        view = discord.ui.LayoutView(timeout=None)
        view.add_item(discord.ui.TextDisplay("…"))
        reply = await message.reply(view=view, mention_author=False)
        destination = Destination(
            application_id=self.bot.application_id or 0,
            channel_id=message.channel.id,
            guild_id=message.guild.id if message.guild else None,
            message_id=reply.id,
            upload_limit=message.guild.filesize_limit if message.guild else UPLOAD_LIMIT,
        )
        try:
            await submit(services, draft, source, destination, user=message.author, locale=locale)
        except UserError:
            await reply.delete()
            raise

    async def _reply(self, message: discord.Message, sentence: str) -> None:
        try:
            await message.reply(sentence, mention_author=False)
        except discord.HTTPException as error:
            log.warning("a mention could not be answered: %s (text: %s)", error, sentence)


async def _find_candidate(message: discord.Message) -> ImageCandidate | None:
    """The first picture of the message, else of the message that it replies to."""
    for candidate in pictures_in(message):
        return candidate
    reference = message.reference
    if reference is None or reference.message_id is None:
        return None
    replied = reference.resolved or reference.cached_message
    if not isinstance(replied, discord.Message) or not list(pictures_in(replied)):
        try:
            replied = await message.channel.fetch_message(reference.message_id)
        except discord.HTTPException:
            return None
    return next(pictures_in(replied), None)


def _check_permissions(message: discord.Message) -> None:
    if message.guild is None:
        return
    allowed = message.channel.permissions_for(message.guild.me)
    if not allowed.attach_files:
        raise MissingPermissions(permissions="Attach Files")
