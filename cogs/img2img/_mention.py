"""Mentioning the bot in reply to a picture: `@Redraw as a watercolour`."""

from __future__ import annotations

import logging
import re
from dataclasses import replace

import discord
from cachetools import TTLCache
from discord.ext import commands

from bot.client import RedrawBot
from bot.commands.allowed_places import check_place
from bot.errors import Unexpected, UserError
from bot.i18n.error_text import translate_error
from bot.i18n.translate import translate
from bot.intake.links import choose_link, without_links
from bot.jobs.job import Destination, new_job_id
from bot.moderation.appeal_button import AppealButton, appeal_button
from bot.permissions import MissingPermissions
from cogs.img2img._command_permissions import CommandPermissions
from cogs.requests.defaults import with_defaults
from cogs.requests.draft import Draft
from cogs.requests.pictures.candidates import candidates_in, is_spoilered, is_stripped
from cogs.requests.pictures.edit_sources import find_edit_sources
from cogs.requests.pictures.sources import RequestContext, find_linked, store_candidate
from cogs.requests.pictures.stored_source import StoredSource, discard
from cogs.requests.request import check_draft, check_user, submit
from cogs.requests.tasks import model_for, offered_tasks, task_for_a_picture
from cogs.shared.channel_facts import channel_of_message
from cogs.shared.errors import AttachFilesNeeded, NoPictureMentioned, PictureNotVisible
from inference import Task

log = logging.getLogger(__name__)

# The default upload limit of a message, which a server's boosts raise.
# https://discord.com/developers/docs/reference#uploading-files
UPLOAD_LIMIT = 10 * 1024 * 1024
PROMPT_CHARACTERS = 1000
# The same sentence is not repeated to a user in the same channel for so long.
REPEAT_SECONDS = 600.0
REPEATS_KEPT = 10_000


class Mention(commands.Cog):
    """Listens for messages to the bot: typed mentions, and direct messages with a picture.

    Discord sends the content of such a message also without the message content intent. The
    message that it replies to has attachments only if it is the bot's own or the intent is on.
    """

    def __init__(self, bot: RedrawBot) -> None:
        self.bot = bot
        command = "img2img" if "img2img" in offered_tasks(bot.services) else "edit"
        self._permissions = CommandPermissions(bot, command)
        self._sent: TTLCache[tuple[int, int, str], None] = TTLCache(REPEATS_KEPT, REPEAT_SECONDS)

    @commands.Cog.listener("on_message")
    async def redraw_mentioned(self, message: discord.Message) -> None:
        """Redraw the attached picture or that of the replied-to message, or explain how to ask."""
        if message.author.bot or message.is_system():
            return
        mentioned = self._is_mentioned(message)
        if not mentioned and message.guild is not None:
            return
        guild_id = message.guild.id if message.guild else None
        locale = str(message.guild.preferred_locale) if message.guild else "en-US"
        try:
            options = await self.bot.services.store.guild_settings.options(guild_id)
            if not options.mentions:
                return
            locale = options.language or locale
            check_place(self.bot.services.settings, guild_id)
            if await self._permissions.may_use(message):
                await self._redraw(message, locale, explain=mentioned)
        except UserError as error:
            self.bot.metrics.request_refused(error)
            appeal = appeal_button(error, locale)
            await self._reply_once(message, translate_error(locale, error), appeal)
        except discord.HTTPException as error:
            log.warning("a mention could not be answered: %s", error)
        except Exception:
            reference = new_job_id()
            log.exception("unexpected error, reference %s", reference)
            await self._reply_once(
                message, translate_error(locale, Unexpected(reference=reference))
            )

    def _is_mentioned(self, message: discord.Message) -> bool:
        """Whether the author typed a mention of the bot or of its managed role.

        `message.mentions` also holds the author of a message that is replied to. A message that
        mentions the role only comes without its text if the message content intent is off.
        """
        assert self.bot.user is not None
        role = message.guild.self_role if message.guild else None
        return self.bot.user.id in message.raw_mentions or role in message.role_mentions

    async def _redraw(self, message: discord.Message, locale: str, *, explain: bool) -> None:
        services = self.bot.services
        task = task_for_a_picture(services)
        prompt = self._prompt(message)
        carries_picture = any(candidates_in(message)) or choose_link(message.content)
        if not prompt or not (explain or carries_picture):
            if explain:
                await self._reply_once(message, translate(locale, "img2img.mention"))
            return
        guild_id = message.guild.id if message.guild else None
        # The reply to a message is public, whatever the author's default is.
        written = Draft(prompt=prompt[:PROMPT_CHARACTERS], task=task, private=False)
        draft = check_draft(
            await with_defaults(services, message.author, guild_id, written),
            services,
            guild=message.guild,
            users=[message.author, *message.mentions],
        )
        context = RequestContext(
            bot=self.bot,
            user=message.author,
            here=channel_of_message(message),
            channel=message.channel,
            locale=locale,
            task=task,
            model=model_for(services, task, draft.model),
        )
        self._check_permissions(message)
        await check_user(self.bot, message.author, guild_id, message.channel.id)
        async with services.runner.reserve(message.author.id, draft.pictures) as reservation:
            source = await self._find_source(context, message, draft.task)
            try:
                reply = await message.reply(view=_placeholder(), mention_author=False)
            except BaseException:
                await discard(services, source)
                raise
            destination = Destination(
                application_id=self.bot.application_id or 0,
                channel_id=message.channel.id,
                guild_id=guild_id,
                message_id=reply.id,
                upload_limit=message.guild.filesize_limit if message.guild else UPLOAD_LIMIT,
            )
            try:
                await submit(
                    services,
                    draft,
                    source,
                    destination,
                    user=message.author,
                    locale=locale,
                    here=context.here,
                    reservation=reservation,
                )
            except UserError:
                await reply.delete()
                raise

    def _prompt(self, message: discord.Message) -> str:
        """The text without the bot's own mention and without links."""
        assert self.bot.user is not None
        role = message.guild.self_role if message.guild else None
        text = re.sub(rf"<@!?{self.bot.user.id}>", " ", message.content)
        if role is not None:
            text = text.replace(role.mention, " ")
        return without_links(text)

    async def _find_source(
        self, context: RequestContext, message: discord.Message, task: Task
    ) -> StoredSource:
        """The picture of the message, else the one it links to, else that of the replied-to one.

        A request to edit takes all pictures of the message and of the replied-to one.

        Raises:
            SourceError: there is none, or it cannot be downloaded or decoded.
        """
        if task == "edit":
            shown = [message, await _replied_to(message)]
            pictures = [each for one in shown if one is not None for each in candidates_in(one)]
            if pictures:
                return await find_edit_sources(context, pictures)
        for candidate in candidates_in(message):
            return await store_candidate(context, candidate)
        if link := choose_link(message.content):
            source = await find_linked(context, link.url)
            spoiler = source.spoiler or is_spoilered(message.content, link.url)
            return replace(source, spoiler=spoiler)
        replied = await _replied_to(message)
        if replied is None:
            raise NoPictureMentioned
        for candidate in candidates_in(replied):
            return await store_candidate(context, candidate)
        if not self.bot.intents.message_content and message.guild and is_stripped(replied):
            raise PictureNotVisible(menu=context.menu)
        raise NoPictureMentioned

    def _check_permissions(self, message: discord.Message) -> None:
        """Check that the bot may post a picture, and that the author may, too.

        Raises:
            MissingPermissions: the bot lacks Attach Files.
            AttachFilesNeeded: the author does.
        """
        if message.guild is None:
            return
        assert isinstance(message.author, discord.Member)
        if not message.channel.permissions_for(message.guild.me).attach_files:
            raise MissingPermissions(permissions="Attach Files")
        if not message.channel.permissions_for(message.author).attach_files:
            raise AttachFilesNeeded

    async def _reply_once(
        self, message: discord.Message, sentence: str, button: AppealButton | None = None
    ) -> None:
        key = (message.channel.id, message.author.id, sentence)
        if key in self._sent:
            return
        self._sent[key] = None
        view: discord.ui.View = discord.utils.MISSING
        if button is not None:
            view = discord.ui.View(timeout=None)
            view.add_item(button)
        try:
            await message.reply(sentence, mention_author=False, view=view)
        except discord.HTTPException as error:
            log.warning("a mention could not be answered: %s (text: %s)", error, sentence)


def _placeholder() -> discord.ui.LayoutView:
    """The first state of the reply, until the job's state is shown in it."""
    view = discord.ui.LayoutView(timeout=None)
    view.add_item(discord.ui.TextDisplay("…"))
    return view


async def _replied_to(message: discord.Message) -> discord.Message | None:
    reference = message.reference
    if (
        reference is None
        or reference.message_id is None
        or reference.type is discord.MessageReferenceType.forward
    ):
        return None
    replied = reference.resolved
    if isinstance(replied, discord.Message) and next(candidates_in(replied), None):
        return replied
    # A replied-to message comes without the pictures that were added after it was sent.
    try:
        return await message.channel.fetch_message(reference.message_id)
    except discord.HTTPException:
        return replied if isinstance(replied, discord.Message) else None
