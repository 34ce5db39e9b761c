"""Finds the pictures of a message, in every form in which Discord carries them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from urllib.parse import urlsplit

import discord

from bot.intake.links import all_links

# For attachments that Discord gives no content type.
RASTER_SUFFIXES = (".png", ".apng", ".jpg", ".jpeg", ".jfif", ".webp", ".gif", ".bmp")
CAMERA_SUFFIXES = (".avif", ".heic", ".heif", ".tif", ".tiff")
IMAGE_SUFFIXES = frozenset((*RASTER_SUFFIXES, *CAMERA_SUFFIXES))
VIDEO_SUFFIXES = frozenset([".mp4", ".mov", ".webm", ".mkv", ".avi", ".m4v"])
# Content types of files whose type the sender did not know.
_UNKNOWN_TYPES = frozenset(["", "application/octet-stream", "binary/octet-stream"])
_SPOILER = re.compile(r"\|\|(.+?)\|\|", re.DOTALL)


@dataclass(frozen=True, slots=True)
class ImageCandidate:
    """A picture in a message: an attachment, or a link that Discord shows.

    `proxy_url` is Discord's own copy of what `url` leads to. `lottie` marks a sticker in a vector
    format that cannot be decoded.
    """

    name: str
    attachment: discord.Attachment | None = None
    url: str | None = None
    proxy_url: str | None = None
    spoiler: bool = False
    lottie: bool = False

    @property
    def shown_name(self) -> str:
        """The name without the prefix by which Discord marks spoilers; not escaped."""
        return self.name.removeprefix("SPOILER_")


def candidates_in(message: discord.Message) -> Iterator[ImageCandidate]:
    """Every picture of a message, of its forwards and of the message that started its thread."""
    parts: list[discord.Message | discord.MessageSnapshot] = [message, *message.message_snapshots]
    started_by = message.reference.resolved if message.reference else None
    if message.type is discord.MessageType.thread_starter_message and isinstance(
        started_by, discord.Message
    ):
        parts += [started_by, *started_by.message_snapshots]
    for part in parts:
        yield from _candidates_of(part)


def is_stripped(message: discord.Message) -> bool:
    """Whether Discord may have removed the message's content and attachments.

    Without the message content intent that happens to messages of other users that neither
    mention the bot nor are direct messages to it.
    https://discord.com/developers/docs/events/gateway#message-content-intent
    """
    ordinary = message.type in (discord.MessageType.default, discord.MessageType.reply)
    return ordinary and not (
        message.author.bot
        or message.content
        or message.attachments
        or message.embeds
        or message.components
        or message.stickers
        or message.message_snapshots
    )


def is_spoilered(text: str, url: str) -> bool:
    """Whether `url` stands between spoiler bars in `text`."""
    # In the text, the link may have escapes and invisible characters.
    return any(url in hidden or url in all_links(hidden) for hidden in _SPOILER.findall(text))


def _is_spoilered_embed(text: str, url: str | None) -> bool:
    """Whether a message's embed belongs to a link between spoiler bars.

    Discord gives the address after redirects. One that is not in the text, or none, may belong to
    any link, so it counts as spoilered if one of the links is.
    """
    if url is not None and url in text:
        return is_spoilered(text, url)
    return is_spoilered(text, "://")


def _candidates_of(part: discord.Message | discord.MessageSnapshot) -> Iterator[ImageCandidate]:
    seen = set()
    hidden = _spoilered_attachments(part.components)
    for attachment in part.attachments:
        if _is_image(attachment):
            seen.add(attachment.id)
            yield ImageCandidate(
                attachment.filename,
                attachment,
                spoiler=attachment.is_spoiler() or attachment.id in hidden,
            )
    for media, spoiler in _media_in(part.components):
        if media.attachment_id is None or media.attachment_id not in seen:
            candidate = _linked(media.url, media.proxy_url, spoiler=spoiler)
            if _may_be_image(media.content_type, candidate.name):
                yield candidate
    for sticker in part.stickers:
        lottie = sticker.format is discord.StickerFormatType.lottie
        yield ImageCandidate(sticker.name, url=sticker.url, proxy_url=sticker.url, lottie=lottie)
    for embed in part.embeds:
        spoiler = _is_spoilered_embed(part.content, embed.url)
        for shown in (embed.image, embed.thumbnail):
            if shown.url:
                candidate = _linked(shown.url, shown.proxy_url, spoiler=spoiler)
                yield replace(candidate, spoiler=spoiler or is_spoilered(part.content, shown.url))


def _media_in(
    components: Iterable[discord.Component], *, spoiler: bool = False
) -> Iterator[tuple[discord.UnfurledMediaItem, bool]]:
    """All media in components, with their spoilers; a spoilered container covers its children."""
    for component in components:
        match component:
            case discord.MediaGalleryComponent():
                yield from ((item.media, spoiler or item.spoiler) for item in component.items)
            case discord.ThumbnailComponent() | discord.FileComponent():
                yield component.media, spoiler or component.spoiler
            case discord.SectionComponent():
                yield from _media_in([component.accessory], spoiler=spoiler)
            case discord.Container():
                yield from _media_in(component.children, spoiler=spoiler or component.spoiler)


def _spoilered_attachments(components: Iterable[discord.Component]) -> set[int]:
    return {
        media.attachment_id
        for media, spoiler in _media_in(components)
        if spoiler and media.attachment_id is not None
    }


def _linked(url: str, proxy_url: str | None, *, spoiler: bool) -> ImageCandidate:
    name = PurePosixPath(urlsplit(url).path).name or "picture"
    return ImageCandidate(name, url=url, proxy_url=proxy_url, spoiler=spoiler)


def _is_image(attachment: discord.Attachment) -> bool:
    """By the content type, else by the name, else by the dimensions, which only media have."""
    suffix = PurePosixPath(attachment.filename).suffix.lower()
    content_type = _known_type(attachment.content_type)
    if content_type:
        return content_type.startswith("image/")
    if suffix in IMAGE_SUFFIXES:
        return True
    return attachment.width is not None and suffix not in VIDEO_SUFFIXES


def _may_be_image(content_type: str | None, name: str) -> bool:
    if known := _known_type(content_type):
        return known.startswith("image/")
    return PurePosixPath(name).suffix.lower() not in VIDEO_SUFFIXES


def _known_type(content_type: str | None) -> str | None:
    """The content type in lower case and without parameters; None if it says nothing."""
    known = (content_type or "").partition(";")[0].strip().lower()
    return None if known in _UNKNOWN_TYPES else known
