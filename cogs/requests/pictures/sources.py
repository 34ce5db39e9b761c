"""Finds the source picture: an attachment, a link, a message, or the channel's newest one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Self

import discord

from bot.client import RedrawBot
from bot.errors import SourceError
from bot.i18n.names import Name
from bot.i18n.translate import translate
from bot.intake.links import choose_link
from cogs.requests.pictures.candidates import (
    ImageCandidate,
    candidates_in,
    is_spoilered,
    is_stripped,
)
from cogs.requests.pictures.download import download, download_link
from cogs.requests.pictures.links import DiscordLink, attachment_channel, parse_discord_link
from cogs.requests.pictures.stored_source import StoredSource, store_picture
from cogs.shared.access import ChannelFacts, Decision, decide_message
from cogs.shared.channel_facts import channel_facts, channel_here, fetch_channel
from cogs.shared.errors import (
    AgeRestricted,
    HistoryForbidden,
    LinkToChannel,
    MessageUnreadable,
    MessageWithoutPicture,
    NoSource,
    OnlyOwnPicturesVisible,
    PictureNotVisible,
    TwoSources,
)
from cogs.shared.text import file_name, plain
from inference import ModelEntry, Task

# How many messages the search for the newest picture reads, in one request.
HISTORY_LIMIT = 50
# How many pictures are tried until one can be read.
TRIED_PICTURES = 5
# How much of a link is shown: the host and a part of the path.
LINK_CHARACTERS = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestContext:
    """The user, the channel, the task and the model of a request: the same for a command, a form
    and a mention."""

    bot: RedrawBot
    user: discord.User | discord.Member
    here: ChannelFacts
    channel: object
    locale: str
    task: Task
    model: ModelEntry

    @classmethod
    def of(cls, interaction: discord.Interaction[RedrawBot], task: Task, model: ModelEntry) -> Self:
        """The context of an interaction."""
        here = channel_here(interaction)
        if interaction.guild_id is not None:
            # The user sees the channel's new messages; older ones only with this permission.
            readable = interaction.permissions.read_message_history
            here = replace(here, read_message_history=readable)
        return cls(
            bot=interaction.client,
            user=interaction.user,
            here=here,
            channel=interaction.channel,
            locale=str(interaction.locale),
            task=task,
            model=model,
        )

    @property
    def menu(self) -> Name:
        """The entry in a message's menu with which the user can ask for the same."""
        return Name("edit.menu" if self.task == "edit" else "img2img.menu")

    @property
    def options(self) -> dict[str, Name]:
        """The names of the command's options for a picture and for a link."""
        link = "edit.name.links" if self.task == "edit" else "img2img.name.url"
        return {"image": Name("img2img.name.image"), "link": Name(link)}


async def find_source(
    context: RequestContext, image: discord.Attachment | None, url: str | None
) -> StoredSource:
    """The picture that the user attached or linked, else the newest one in the channel.

    Raises:
        SourceError: there is none, or it cannot be downloaded or decoded.
        TwoSources: both an attachment and a link.
        AgeRestricted: the linked message is in an age-restricted channel, the request is not.
    """
    if image is not None and url is not None:
        raise TwoSources
    if image is not None:
        return await store_candidate(
            context, ImageCandidate(image.filename, image, spoiler=image.is_spoiler())
        )
    if url is not None:
        return await find_linked(context, url)
    return await _newest_in_channel(context)


async def find_linked(context: RequestContext, url: str) -> StoredSource:
    """The picture that a typed link leads to: a file, a web page, or a message or thread.

    Raises:
        SourceError: there is none, or it cannot be downloaded or decoded.
        AgeRestricted: the message that is linked, or to which the file is attached, is in an
            age-restricted channel and the request is not.
    """
    chosen = choose_link(url)
    spoiler = chosen is not None and is_spoilered(url, chosen.url)
    if chosen and (link := parse_discord_link(chosen.url)):
        source = await _from_discord_link(context, link)
        return replace(source, spoiler=source.spoiler or spoiler)
    address = chosen.url if chosen else url
    attached = await _attachment_channel(context, address)
    data = await download_link(context.bot, context.user, address)
    name = translate(context.locale, "img2img.source.link")
    if chosen and chosen.count > 1:
        name = translate(
            context.locale,
            "img2img.source.first_link",
            count=chosen.count,
            link=plain(chosen.url, LINK_CHARACTERS),
        )
    source = await store_picture(context.bot.services, data, name, context.model)
    if attached is not None:
        source = replace(source, channel_id=attached.id, age_restricted=attached.age_restricted)
    return replace(source, spoiler=spoiler)


async def _attachment_channel(context: RequestContext, url: str) -> ChannelFacts | None:
    """The channel of a linked attachment; None if it is no attachment, or the bot cannot see it.

    The user need not be able to read the channel: a link to an attachment is signed, so that only
    its readers can have got it.
    """
    channel_id = attachment_channel(url)
    if channel_id is None or channel_id == context.here.id:
        return None
    facts = await channel_facts(context.bot, context.user, channel_id)
    if facts and facts.age_restricted and not context.here.age_restricted:
        raise AgeRestricted
    return facts


async def store_candidate(
    context: RequestContext, candidate: ImageCandidate, name: str | None = None
) -> StoredSource:
    """Download, decode and store a picture of a message.

    Raises:
        SourceError: it cannot be downloaded or decoded.
    """
    data = await download(context.bot, candidate)
    name = name or file_name(candidate.name)
    source = await store_picture(context.bot.services, data, name, context.model)
    return replace(source, spoiler=candidate.spoiler)


async def _newest_in_channel(context: RequestContext) -> StoredSource:
    channel = context.channel
    if not isinstance(channel, discord.abc.Messageable) or not context.here.readable:
        raise NoSource(**context.options)
    stripped = False
    try:
        messages = [message async for message in channel.history(limit=HISTORY_LIMIT)]
    except discord.HTTPException as error:
        raise HistoryForbidden(**context.options) from error
    if isinstance(channel, discord.Thread) and (starter := await _starter(channel)):
        messages.append(starter)
    intent = context.bot.intents.message_content
    found: list[tuple[ImageCandidate, discord.Message]] = []
    for message in messages:
        if not intent and is_stripped(message) and not found:
            stripped = context.here.guild_id is not None
        found += [(candidate, message) for candidate in candidates_in(message)]
    if stripped:
        # A newer message may hold the picture that is meant.
        raise OnlyOwnPicturesVisible(menu=context.menu)
    return await _first_usable(context, found)


async def _first_usable(
    context: RequestContext, found: Iterable[tuple[ImageCandidate, discord.Message]]
) -> StoredSource:
    """The first of these pictures that can be read.

    Raises:
        NoSource: there are none.
        SourceError: none can be read; the error of the first one.
    """
    first: SourceError | None = None
    for candidate, message in list(found)[:TRIED_PICTURES]:
        try:
            return await store_candidate(context, candidate, _name(context, candidate, message))
        except SourceError as error:
            first = first or error
    raise first or NoSource(**context.options)


async def _from_discord_link(context: RequestContext, link: DiscordLink) -> StoredSource:
    """The first picture of a linked message, if the user may read it, too."""
    bot, here = context.bot, context.here
    facts: ChannelFacts | None = here
    if link.channel_id != here.id:
        facts = await channel_facts(bot, context.user, link.channel_id)
    match decide_message(facts, here):
        case Decision.AGE_RESTRICTED:
            raise AgeRestricted
        case Decision.NOT_FOUND:
            raise MessageUnreadable
    assert facts is not None
    message = await _linked_message(context, link)
    if message is None:
        raise MessageUnreadable
    candidates = [(candidate, message) for candidate in candidates_in(message)]
    if not candidates:
        stripped = not bot.intents.message_content and is_stripped(message)
        raise PictureNotVisible(menu=context.menu) if stripped else MessageWithoutPicture
    source = await _first_usable(context, candidates)
    return replace(source, channel_id=facts.id, age_restricted=facts.age_restricted)


async def _linked_message(context: RequestContext, link: DiscordLink) -> discord.Message | None:
    channel: object = context.channel
    if link.channel_id != context.here.id:
        channel = await fetch_channel(context.bot, link.channel_id)
    if link.message_id is None:
        if not isinstance(channel, discord.Thread):
            raise LinkToChannel
        return await _starter(channel)
    if not isinstance(channel, discord.abc.Messageable):
        raise LinkToChannel
    try:
        return await channel.fetch_message(link.message_id)
    except discord.HTTPException:
        return None


async def _starter(thread: discord.Thread) -> discord.Message | None:
    """The message that a thread or forum post was started with.

    A forum post begins with it; that of another thread is in the parent channel and has the id of
    the thread.
    """
    parent = thread.parent
    try:
        if isinstance(parent, discord.TextChannel):
            return await parent.fetch_message(thread.id)
        async for message in thread.history(limit=1, oldest_first=True):
            return message
    except discord.HTTPException:
        return None
    return None


def _name(context: RequestContext, candidate: ImageCandidate, message: discord.Message) -> str:
    """Where a picture was found. Of another channel, only that there is a message."""
    if message.channel.id != context.here.id:
        return translate(context.locale, "img2img.source.other_channel", url=message.jump_url)
    if message.author.id == context.user.id:
        return translate(
            context.locale,
            "img2img.source.own_message",
            name=file_name(candidate.name),
            url=message.jump_url,
        )
    return translate(
        context.locale,
        "img2img.source.message",
        name=file_name(candidate.name),
        url=message.jump_url,
        author=message.author.mention,
    )
