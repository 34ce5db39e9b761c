"""Finds the source picture: an attachment, a link, a message, or the channel's newest one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import urlsplit

import discord

from bot.client import RedrawBot
from bot.i18n.translate import translate
from bot.intake import FileTooLarge
from bot.intake.links import MessageLink, parse_message_link
from cogs.shared.errors import (
    AttachmentGone,
    HistoryForbidden,
    MessageUnreadable,
    MessageWithoutPicture,
    NoSource,
    TwoSources,
)

# How many messages the search for the newest picture reads, in one request.
HISTORY_LIMIT = 50


@dataclass(frozen=True, slots=True)
class DownloadedImage:
    """Untrusted bytes, not yet decoded. `name` tells users where they came from."""

    data: bytes
    name: str
    spoiler: bool = False


@dataclass(frozen=True, slots=True)
class ImageCandidate:
    """A picture in a message: an attachment, or a link that Discord shows."""

    name: str
    attachment: discord.Attachment | None = None
    url: str | None = None
    spoiler: bool = False


def pictures_in(message: discord.Message) -> Iterator[ImageCandidate]:
    """Every picture of a message and its forwards: attachments, galleries, link previews."""
    parts: tuple[discord.Message | discord.MessageSnapshot, ...] = (
        message,
        *message.message_snapshots,
    )
    for part in parts:
        seen = set()
        for attachment in part.attachments:
            if (attachment.content_type or "").startswith("image/"):
                seen.add(attachment.id)
                yield ImageCandidate(
                    attachment.filename, attachment, spoiler=attachment.is_spoiler()
                )
        for item in _gallery_items(part.components):
            if item.media.attachment_id not in seen:
                yield ImageCandidate(
                    _name_of(item.media.url), url=item.media.url, spoiler=item.spoiler
                )
        for embed in part.embeds:
            for media in (embed.image, embed.thumbnail):
                if media.url:
                    yield ImageCandidate(_name_of(media.url), url=media.url)


def _gallery_items(components: Iterable[discord.Component]) -> Iterator[discord.MediaGalleryItem]:
    for component in components:
        if isinstance(component, discord.MediaGalleryComponent):
            yield from component.items
        elif isinstance(component, discord.Container):
            yield from _gallery_items(component.children)


def _name_of(url: str) -> str:
    return PurePosixPath(urlsplit(url).path).name or "picture"


async def read_attachment(attachment: discord.Attachment, max_bytes: int) -> bytes:
    """Download an attachment of at most `max_bytes`.

    Raises:
        FileTooLarge: by the size that Discord states; nothing is downloaded.
        AttachmentGone: Discord answers with an error.
    """
    if attachment.size > max_bytes:
        raise FileTooLarge(mebibytes=max_bytes / 2**20)
    try:
        return await attachment.read()
    except discord.HTTPException as error:
        raise AttachmentGone from error


async def download(bot: RedrawBot, candidate: ImageCandidate) -> bytes:
    """Download a picture that was found in a message.

    Raises:
        SourceError: it cannot be downloaded.
    """
    if candidate.attachment is not None:
        return await read_attachment(candidate.attachment, bot.services.intake.limits.max_bytes)
    assert candidate.url is not None
    return await bot.services.intake.fetch(candidate.url)


async def find_source(
    interaction: discord.Interaction[RedrawBot],
    image: discord.Attachment | None,
    url: str | None,
) -> DownloadedImage:
    """The picture that the user attached or linked, else the newest one in the channel.

    Raises:
        SourceError: there is none, or it cannot be downloaded.
        TwoSources: both an attachment and a link.
    """
    bot = interaction.client
    if image is not None and url is not None:
        raise TwoSources
    if image is not None:
        data = await read_attachment(image, bot.services.intake.limits.max_bytes)
        return DownloadedImage(data, image.filename, image.is_spoiler())
    if url is not None:
        if link := parse_message_link(url):
            return await _from_message_link(interaction, link)
        return DownloadedImage(
            await bot.services.intake.fetch(url),
            translate(interaction.locale, "img2img.source.link"),
        )
    return await _newest_in_channel(interaction)


async def _newest_in_channel(interaction: discord.Interaction[RedrawBot]) -> DownloadedImage:
    channel = interaction.channel
    if not isinstance(channel, discord.abc.Messageable):
        raise NoSource
    try:
        async for message in channel.history(limit=HISTORY_LIMIT):
            for candidate in pictures_in(message):
                return await _download_named(interaction, candidate, message)
    except discord.Forbidden as error:
        raise HistoryForbidden from error
    raise NoSource


async def _from_message_link(
    interaction: discord.Interaction[RedrawBot], link: MessageLink
) -> DownloadedImage:
    """The first picture of a linked message, if the user may read it, too."""
    bot = interaction.client
    try:
        channel = bot.get_channel(link.channel_id) or await bot.fetch_channel(link.channel_id)
        if isinstance(channel, discord.abc.GuildChannel | discord.Thread):
            member = await channel.guild.fetch_member(interaction.user.id)
            allowed = channel.permissions_for(member)
            if not (allowed.view_channel and allowed.read_message_history):
                raise MessageUnreadable
        elif link.channel_id != interaction.channel_id:
            raise MessageUnreadable
        assert isinstance(channel, discord.abc.Messageable)
        message = await channel.fetch_message(link.message_id)
    except discord.HTTPException as error:
        raise MessageUnreadable from error
    for candidate in pictures_in(message):
        return await _download_named(interaction, candidate, message)
    raise MessageWithoutPicture


async def _download_named(
    interaction: discord.Interaction[RedrawBot],
    candidate: ImageCandidate,
    message: discord.Message,
) -> DownloadedImage:
    name = translate(
        interaction.locale,
        "img2img.source.message",
        name=discord.utils.escape_markdown(candidate.name),
        url=message.jump_url,
        author=message.author.mention,
    )
    return DownloadedImage(await download(interaction.client, candidate), name, candidate.spoiler)
