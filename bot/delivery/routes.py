"""The delivery routes: two ways to edit the reply, and two ways to send a new message.

An edit can be repeated safely. A new message carries a nonce: Discord returns the existing message
if the same author sent the same nonce in the past few minutes. After that time the channel is
searched for the message, which is recognised by the id of its first component, derived from the
job's id.

One case cannot be decided: the process is killed while it edits an ephemeral reply, and the token
expires before the next start. The user then gets a direct message: a second answer is better than
none.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
from collections.abc import Callable
from enum import Enum, auto

import discord

from bot.delivery.message import MessageContent
from bot.jobs.job import Job
from bot.store.store import Store

# "The past few minutes" of `enforce_nonce`
# (https://discord.com/developers/docs/resources/message#create-message), taken as three minutes,
# minus the time that one attempt with discord.py's own retries may take.
POST_SECONDS = 45.0
NONCE_SECONDS = 3 * 60.0 - POST_SECONDS - 15.0
# The largest difference between this machine's clock and Discord's when a message is searched for.
CLOCK_SKEW = datetime.timedelta(minutes=5)
# Two requests.
NEWEST_MESSAGES = 200
# An upload of 10 MiB over a slow connection.
EDIT_SECONDS = 90.0


class DeliveryRoute(Enum):
    """The routes, in the order in which they are tried."""

    TOKEN_EDIT = auto()
    BOT_EDIT = auto()
    CHANNEL_POST = auto()
    DIRECT_POST = auto()


def open_routes(job: Job) -> list[DeliveryRoute]:
    """The open routes for the job's answer, best first.

    If a new message may have been sent already: only its channel and the routes after it.
    """
    destination = job.destination
    if job.post_channel_id not in (None, destination.channel_id):
        return [DeliveryRoute.DIRECT_POST]
    if job.post_channel_id is not None:
        return [DeliveryRoute.CHANNEL_POST, DeliveryRoute.DIRECT_POST]
    return [
        # Whether the token has expired is Discord's decision: this machine's clock may be wrong.
        *([DeliveryRoute.TOKEN_EDIT] if destination.token else []),
        *([] if destination.private else [DeliveryRoute.BOT_EDIT, DeliveryRoute.CHANNEL_POST]),
        DeliveryRoute.DIRECT_POST,
    ]


def marker(job_id: str) -> int:
    """The component id that marks this job's answer: 32 bits, above those that Discord assigns."""
    return 0x1000_0000 | int(job_id[:7], 16)


class RouteSender:
    """Sends an answer by one route, as `client`. Raises what discord.py raises."""

    def __init__(
        self,
        client: discord.Client,
        store: Store,
        clock: Callable[[], float],
        failpoint: Callable[[str], None],
    ) -> None:
        self._client = client
        self._store = store
        self._clock = clock
        self._failpoint = failpoint

    async def send(self, route: DeliveryRoute, job: Job, content: MessageContent) -> None:
        """Send the answer. Calling it again for the same job does not answer it twice."""
        content.view.children[0].id = marker(job.id)
        match route:
            case DeliveryRoute.TOKEN_EDIT | DeliveryRoute.BOT_EDIT:
                async with asyncio.timeout(EDIT_SECONDS):
                    await self.edit(route, job, content)
            case DeliveryRoute.CHANNEL_POST:
                if not await self._reply_has_answer(job):
                    await self._post(job, content, self._channel(job))
            case DeliveryRoute.DIRECT_POST:
                channel = await self._client.create_dm(discord.Object(job.user_id))
                await self._post(job, content, channel)

    async def edit(self, route: DeliveryRoute, job: Job, content: MessageContent) -> None:
        """Edit the reply, with the interaction's token or the bot's."""
        destination = job.destination
        self._failpoint("before edit")
        if route is DeliveryRoute.TOKEN_EDIT:
            assert destination.token is not None
            webhook = discord.Webhook.partial(
                destination.application_id, destination.token, client=self._client
            )
            await webhook.edit_message(
                destination.message_id, view=content.view, attachments=_files(content)
            )
        else:
            message = self._channel(job).get_partial_message(destination.message_id)
            await message.edit(view=content.view, attachments=_files(content))
        self._failpoint("after edit")

    async def _post(
        self, job: Job, content: MessageContent, channel: discord.abc.Messageable
    ) -> None:
        target = await channel._get_channel()
        sent_since = job.post_since if job.post_channel_id == target.id else None
        now = self._clock()
        # A clock that was set back says nothing about the nonce.
        if sent_since is not None and not 0 <= now - sent_since <= NONCE_SECONDS:
            if await self._find(job, channel, sent_since):
                return
            sent_since = None
        if sent_since is None:
            await self._store.posting(job.id, target.id, now)
        _mention(content.view, job)
        self._failpoint("before post")
        async with asyncio.timeout(POST_SECONDS):
            await channel.send(
                view=content.view,
                files=_files(content),
                nonce=job.id,
                # The text has the user's prompt, which may hold other mentions.
                allowed_mentions=discord.AllowedMentions(
                    everyone=False,
                    roles=False,
                    users=[discord.Object(job.user_id)],
                    replied_user=False,
                ),
            )
        self._failpoint("after post")

    async def _reply_has_answer(self, job: Job) -> bool:
        """Whether an edit arrived although it ended in an error."""
        message = self._channel(job).get_partial_message(job.destination.message_id)
        with contextlib.suppress(discord.NotFound, discord.Forbidden):
            return _is_answer(await message.fetch(), job)
        return False

    async def _find(self, job: Job, channel: discord.abc.Messageable, since: float) -> bool:
        """Whether the message that was being sent at `since` arrived.

        False where the bot may not read the history: a second answer is better than none.
        """
        moment = datetime.datetime.fromtimestamp(since, datetime.UTC)
        around = channel.history(
            limit=None,
            after=moment - CLOCK_SKEW,
            before=moment + CLOCK_SKEW + datetime.timedelta(seconds=NONCE_SECONDS),
        )
        # If this machine's clock was wrong at that time: the newest messages.
        newest = channel.history(limit=NEWEST_MESSAGES)
        with contextlib.suppress(discord.NotFound, discord.Forbidden):
            for messages in (around, newest):
                async for message in messages:
                    if _is_answer(message, job):
                        return True
        return False

    def _channel(self, job: Job) -> discord.PartialMessageable:
        destination = job.destination
        return self._client.get_partial_messageable(
            destination.channel_id, guild_id=destination.guild_id
        )


def _is_answer(message: discord.Message, job: Job) -> bool:
    return any(getattr(component, "id", None) == marker(job.id) for component in message.components)


def _files(content: MessageContent) -> list[discord.File]:
    return [upload.file() for upload in content.files]


def _mention(view: discord.ui.LayoutView, job: Job) -> None:
    """Mention the user at the top: a new message should notify, unlike an edit."""
    items = view.children
    view.clear_items()
    items[0].id = None
    view.add_item(discord.ui.TextDisplay(f"<@{job.user_id}>", id=marker(job.id)))
    for item in items:
        view.add_item(item)
