"""Tells a user that a picture is finished that took longer than a minute.

The answer is an edit, which notifies no user of Discord. A notification is sent once at most: it
is lost if the process ends between the answer and it.
"""

from __future__ import annotations

import asyncio
import logging

import aiohttp
import discord

from bot.delivery.error_policy import describe
from bot.i18n.translate import translate
from bot.jobs.job import Job, JobState
from bot.store.store import Store
from bot.store.user_defaults import Notification

log = logging.getLogger(__name__)

# Users wait for a shorter time.
LONG_SECONDS = 60.0
POST_SECONDS = 45.0
MESSAGE_LINK = "https://discord.com/channels/{guild}/{channel}/{message}"


class Notifier:
    """Sends notifications as `client`, to users who chose one with `/defaults`."""

    def __init__(self, client: discord.Client, store: Store) -> None:
        self._client = client
        self._store = store

    async def notify(self, job: Job) -> None:
        """Notify the user of an answered job, if it took long and the user chose a notification.

        Not for an answer that was sent as a new message, which mentions them. Where a direct
        message is refused, the user is mentioned. No error is raised.
        """
        if not _took_long(job) or job.post_channel_id is not None:
            return
        wanted = (await self._store.user_defaults.of(job.user_id)).notification
        if wanted is Notification.NONE:
            return
        # A public mention would reveal a private picture.
        private = job.destination.private
        if (wanted is Notification.DIRECT or private) and await self._send_directly(job):
            return
        if not private:
            await self._mention(job)

    async def _send_directly(self, job: Job) -> bool:
        key = "notification.made" if job.state is JobState.DELIVERED else "notification.failed"
        # A private answer has no address.
        private = job.destination.private
        link = f"<#{job.destination.channel_id}>" if private else message_link(job)
        text = translate(job.locale, key, link=link)
        try:
            async with asyncio.timeout(POST_SECONDS):
                channel = await self._client.create_dm(discord.Object(job.user_id))
                await channel.send(
                    text, nonce=_nonce(job), allowed_mentions=discord.AllowedMentions.none()
                )
        except (discord.HTTPException, aiohttp.ClientError, OSError) as error:
            log.info("notification of job %s as a direct message: %s", job.id, describe(error))
            return False
        return True

    async def _mention(self, job: Job) -> None:
        made = job.state is JobState.DELIVERED
        key = "notification.mention_made" if made else "notification.mention_failed"
        destination = job.destination
        channel = self._client.get_partial_messageable(
            destination.channel_id, guild_id=destination.guild_id
        )
        try:
            async with asyncio.timeout(POST_SECONDS):
                await channel.send(
                    translate(job.locale, key, user=f"<@{job.user_id}>"),
                    reference=channel.get_partial_message(destination.message_id).to_reference(
                        fail_if_not_exists=False
                    ),
                    nonce=_nonce(job),
                    allowed_mentions=discord.AllowedMentions(
                        everyone=False,
                        roles=False,
                        users=[discord.Object(job.user_id)],
                        replied_user=False,
                    ),
                )
        except (discord.HTTPException, aiohttp.ClientError, OSError) as error:
            log.info("notification of job %s as a mention: %s", job.id, describe(error))


def _took_long(job: Job) -> bool:
    finished = job.state in (JobState.DELIVERED, JobState.FAILED) and job.finished_at is not None
    return finished and (job.finished_at or 0.0) - job.created_at > LONG_SECONDS


def message_link(job: Job) -> str:
    """The address of the message that shows the job. A private one has no address."""
    destination = job.destination
    return MESSAGE_LINK.format(
        guild=destination.guild_id or "@me",
        channel=destination.channel_id,
        message=destination.message_id,
    )


def _nonce(job: Job) -> str:
    """Discord drops a second message with the same nonce."""
    return f"done-{job.id}"
