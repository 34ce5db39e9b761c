"""Deletes a job with the messages that show it: its answer, its copy in the gallery, and the
copies that buttons posted."""

from __future__ import annotations

import datetime
from collections.abc import AsyncIterator

import discord

from bot.client import RedrawBot
from bot.delivery.routes import marker
from bot.jobs.job import Job

# Discord's clock and this machine's may differ; a message may also arrive late.
SEARCH_WINDOW = datetime.timedelta(minutes=10)


async def delete_job_messages(bot: RedrawBot, job: Job, *, deleted_id: int | None = None) -> bool:
    """Delete the messages of the job, with the bot's own token.

    An ephemeral message is left out, because only its user can delete it, and so is the message
    `deleted_id`, which is deleted already. Returns whether no message is left that the bot knows
    of.
    """
    deleted = True
    async for message in _job_messages(bot, job):
        if message.id == deleted_id:
            continue
        try:
            await message.delete()
        except discord.NotFound:
            continue
        except discord.HTTPException:
            deleted = False
    return deleted


async def delete_job(bot: RedrawBot, job: Job, *, deleted_id: int | None = None) -> bool:
    """Delete the messages of the job, then the stored job; the result is that of
    `delete_job_messages`."""
    deleted = await delete_job_messages(bot, job, deleted_id=deleted_id)
    await bot.services.store.erase_job(job.id)
    return deleted


async def _job_messages(bot: RedrawBot, job: Job) -> AsyncIterator[discord.PartialMessage]:
    destination = job.destination
    if not destination.private:
        yield _message(bot, destination.channel_id, destination.message_id)
    if job.share_channel_id is not None and job.share_message_id is not None:
        yield _message(bot, job.share_channel_id, job.share_message_id)
    for channel_id, message_id in await bot.services.store.sharing.copies(job.id):
        yield _message(bot, channel_id, message_id)
    if job.post_channel_id is not None and job.post_since is not None:
        # The answer was sent as a new message, whose id is not stored.
        found = await _find_posted(bot, job, job.post_channel_id, job.post_since)
        if found is not None:
            yield _message(bot, job.post_channel_id, found)


async def _find_posted(bot: RedrawBot, job: Job, channel_id: int, since: float) -> int | None:
    moment = datetime.datetime.fromtimestamp(since, datetime.UTC)
    channel = bot.get_partial_messageable(channel_id)
    try:
        async for message in channel.history(
            after=moment - SEARCH_WINDOW, before=moment + SEARCH_WINDOW, limit=None
        ):
            if any(
                getattr(component, "id", None) == marker(job.id) for component in message.components
            ):
                return message.id
    except discord.HTTPException:
        return None
    return None


def _message(bot: RedrawBot, channel_id: int, message_id: int) -> discord.PartialMessage:
    return bot.get_partial_messageable(channel_id).get_partial_message(message_id)
