"""Mentioning the bot in reply to a picture: `@Redraw as a watercolour`."""

from __future__ import annotations

import logging
import re

import discord
from discord.ext import commands

from bot.client import RedrawBot
from bot.errors import Unexpected, UserError
from bot.i18n.translate import translate, translate_error
from bot.jobs.job import Destination, new_job_id
from bot.permissions import MissingPermissions
from cogs.img2img.errors import NoSource
from cogs.img2img.request import Draft, check_draft, submit, verify
from cogs.img2img.sources import DownloadedImage, ImageCandidate, pictures_in, read_found

log = logging.getLogger(__name__)

# Uploads of an ordinary message; a server's boosts can only raise it.
# https://discord.com/developers/docs/reference#uploading-files
UPLOAD_LIMIT = 10 * 1024 * 1024
_MENTION = re.compile(r"<@[!&]?\d+>")


class Mention(commands.Cog):
    """Listens for messages that mention the bot.

    Such a message carries its content without the privileged message content intent. The one it
    replies to is fetched, and shows its picture if it is the bot's own or the intent is on.
    """

    def __init__(self, bot: RedrawBot) -> None:
        self.bot = bot

    @commands.Cog.listener("on_message")
    async def redraw_mentioned(self, message: discord.Message) -> None:
        """Redraw the picture replied to, or the one attached; explain if there is none."""
        user = self.bot.user
        if user is None or message.author.bot or user not in message.mentions:
            return
        prompt = " ".join(_MENTION.sub(" ", message.content).split())
        locale = str(message.guild.preferred_locale) if message.guild else "en-US"
        try:
            await self._redraw(message, prompt, locale)
        except UserError as error:
            await self._say(message, translate_error(locale, error))
        except discord.HTTPException as error:
            log.warning("a mention could not be answered: %s", error)
        except Exception:
            reference = new_job_id()
            log.exception("unexpected error, reference %s", reference)
            await self._say(message, translate_error(locale, Unexpected(reference=reference)))

    async def _redraw(self, message: discord.Message, prompt: str, locale: str) -> None:
        services = self.bot.services
        found = await _picture(message)
        if found is None and not prompt:
            await self._say(message, translate(locale, "img2img.mention"))
            return
        if found is None:
            raise NoSource
        draft = check_draft(Draft(prompt=prompt[:1000]), services)
        _check_here(message)
        source = await verify(
            services, DownloadedImage(await read_found(self.bot, found), found.name, found.spoiler)
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

    async def _say(self, message: discord.Message, sentence: str) -> None:
        try:
            await message.reply(sentence, mention_author=False)
        except discord.HTTPException as error:
            log.warning("a mention could not be answered: %s (said: %s)", error, sentence)


async def _picture(message: discord.Message) -> ImageCandidate | None:
    """The one attached, else that of the message replied to."""
    for found in pictures_in(message):
        return found
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


def _check_here(message: discord.Message) -> None:
    if message.guild is None:
        return
    allowed = message.channel.permissions_for(message.guild.me)
    if not allowed.attach_files:
        raise MissingPermissions(permissions="Attach Files")
