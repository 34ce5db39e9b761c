"""Downloads pictures: attachments, links, and links that Discord shows in a message."""

from __future__ import annotations

import asyncio

import aiohttp
import discord
from discord.http import Route

from bot.client import RedrawBot
from bot.intake import DiscordLinkExpired, FileTooLarge, LinkError, LinkTooSlow
from cogs.requests.pictures.candidates import ImageCandidate
from cogs.requests.pictures.links import attachment_channel, is_discord_file
from cogs.shared.channel_facts import channel_facts
from cogs.shared.errors import (
    AttachmentGone,
    DiscordLinksOnly,
    LinksOff,
    StickerNotSupported,
)


async def download(bot: RedrawBot, candidate: ImageCandidate) -> bytes:
    """Download a picture that was found in a message.

    Discord's own copy is preferred, so that the machine of the operator connects to an address
    that a user chose only where Discord has no copy and the operator allows it.

    Raises:
        SourceError: it cannot be downloaded.
    """
    if candidate.lottie:
        raise StickerNotSupported
    if candidate.attachment is not None:
        return await download_attachment(bot, candidate.attachment)
    assert candidate.url is not None
    if candidate.proxy_url is not None and is_discord_file(candidate.proxy_url):
        try:
            return await bot.services.intake.fetch(candidate.proxy_url)
        except LinkError:
            if bot.services.settings.links != "any" or candidate.proxy_url == candidate.url:
                raise
    _check_allowed(bot, candidate.url)
    return await bot.services.intake.fetch(candidate.url)


async def download_attachment(bot: RedrawBot, attachment: discord.Attachment) -> bytes:
    """Download an attachment, within the limits of time and size that links have.

    Raises:
        FileTooLarge: by the size that Discord states; nothing is downloaded.
        LinkTooSlow: the time is over.
        AttachmentGone: Discord does not deliver it.
    """
    limits = bot.services.intake.limits
    if attachment.size > limits.max_bytes:
        raise FileTooLarge(mebibytes=limits.max_bytes / 2**20)
    try:
        async with asyncio.timeout(limits.total_seconds):
            return await attachment.read()
    except TimeoutError as error:
        raise LinkTooSlow(seconds=limits.total_seconds) from error
    except (discord.HTTPException, aiohttp.ClientError, OSError) as error:
        raise AttachmentGone from error


async def download_link(bot: RedrawBot, user: discord.User | discord.Member, url: str) -> bytes:
    """Download what a typed link leads to. Expired attachment links are renewed.

    Raises:
        LinksOff, DiscordLinksOnly: the operator does not allow this link.
        DiscordLinkExpired: an attachment link that cannot be renewed for this user.
        SourceError: it cannot be downloaded.
    """
    _check_allowed(bot, url)
    try:
        return await bot.services.intake.fetch(url)
    except DiscordLinkExpired:
        channel_id = attachment_channel(url)
        if channel_id is None:
            raise
        facts = await channel_facts(bot, user, channel_id)
        if facts is None or not facts.readable:
            raise
        return await bot.services.intake.fetch(await _renewed(bot, url))


async def _renewed(bot: RedrawBot, url: str) -> str:
    # https://discord.com/developers/docs/reference#signed-attachment-cdn-urls
    # discord.py has no method for this endpoint.
    route = Route("POST", "/attachments/refresh-urls")
    try:
        answer = await bot.http.request(route, json={"attachment_urls": [url]})
        return str(answer["refreshed_urls"][0]["refreshed"])
    except (discord.HTTPException, LookupError) as error:
        raise DiscordLinkExpired from error


def _check_allowed(bot: RedrawBot, url: str) -> None:
    match bot.services.settings.links:
        case "off":
            raise LinksOff
        case "discord" if not is_discord_file(url):
            raise DiscordLinksOnly
