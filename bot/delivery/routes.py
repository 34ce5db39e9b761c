"""The ways to a person, one attempt at a time: two edits of the reply, and two new messages.

An edit may be repeated as often as one likes. A new message may not, so it carries a nonce: Discord
returns the existing message if the same author sent the same nonce in the past few minutes. Once
those have passed, the channel is searched for the message instead. It is known by a mark: the id
of its first component, derived from the job's.

One case cannot be decided: the process is killed while it edits a reply that only its person sees,
and the token expires before the next start. The person then gets a direct message, perhaps the
second answer, rather than perhaps none.
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
# (https://discord.com/developers/docs/resources/message#create-message), taken as three, less the
# time that one attempt with the library's own retries may take.
POST_SECONDS = 45.0
NONCE_SECONDS = 3 * 60.0 - POST_SECONDS - 15.0
# How far this machine's clock and Discord's may be apart when looking for a message by its time.
CLOCK_SKEW = datetime.timedelta(minutes=5)
# An upload of 10 MiB over a slow line.
EDIT_SECONDS = 90.0


class DeliveryRoute(Enum):
    """In the order in which they are tried."""

    TOKEN_EDIT = auto()
    BOT_EDIT = auto()
    CHANNEL_POST = auto()
    DIRECT_POST = auto()


def open_routes(job: Job, now: float) -> list[DeliveryRoute]:
    """The ways that are open for the job's answer, best first.

    Where a new message may have been sent already, only that channel and what comes after it.
    """
    destination = job.destination
    if job.post_channel_id not in (None, destination.channel_id):
        return [DeliveryRoute.DIRECT_POST]
    if job.post_channel_id is not None:
        return [DeliveryRoute.CHANNEL_POST, DeliveryRoute.DIRECT_POST]
    token_lives = (
        destination.token and destination.token_expires_at and now < destination.token_expires_at
    )
    return [
        *([DeliveryRoute.TOKEN_EDIT] if token_lives else []),
        *([] if destination.private else [DeliveryRoute.BOT_EDIT, DeliveryRoute.CHANNEL_POST]),
        DeliveryRoute.DIRECT_POST,
    ]


def mark(job_id: str) -> int:
    """A component id that only this job's answer has: 32 bits, above those Discord hands out."""
    return 0x1000_0000 | int(job_id[:7], 16)


class RouteSender:
    """Sends an answer by one way, once, as `client`. Raises whatever discord.py raises."""

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

    async def send(self, way: DeliveryRoute, job: Job, answer: MessageContent) -> None:
        """The final answer. May be called again for the same job without answering it twice."""
        answer.view.children[0].id = mark(job.id)
        match way:
            case DeliveryRoute.TOKEN_EDIT | DeliveryRoute.BOT_EDIT:
                async with asyncio.timeout(EDIT_SECONDS):
                    await self.edit(way, job, answer)
            case DeliveryRoute.CHANNEL_POST:
                if not await self._reply_is_answered(job):
                    await self._post(job, answer, self._channel(job))
            case DeliveryRoute.DIRECT_POST:
                user = await self._client.create_dm(discord.Object(job.user_id))
                await self._post(job, answer, user)

    async def edit(self, way: DeliveryRoute, job: Job, answer: MessageContent) -> None:
        """Turn the reply into the answer, with the interaction's token or the bot's own."""
        destination = job.destination
        self._failpoint("before edit")
        if way is DeliveryRoute.TOKEN_EDIT:
            assert destination.token is not None
            webhook = discord.Webhook.partial(
                destination.application_id, destination.token, client=self._client
            )
            await webhook.edit_message(
                destination.message_id, view=answer.view, attachments=_files(answer)
            )
        else:
            message = self._channel(job).get_partial_message(destination.message_id)
            await message.edit(view=answer.view, attachments=_files(answer))
        self._failpoint("after edit")

    async def _post(
        self, job: Job, answer: MessageContent, channel: discord.abc.Messageable
    ) -> None:
        target = await channel._get_channel()
        known = job.post_since if job.post_channel_id == target.id else None
        now = self._clock()
        if known is not None and now - known > NONCE_SECONDS:
            if await self._find(job, channel, known):
                return
            known = None
        if known is None:
            await self._store.posting(job.id, target.id, now)
        _mention(answer.view, job)
        self._failpoint("before post")
        async with asyncio.timeout(POST_SECONDS):
            await channel.send(
                view=answer.view,
                files=_files(answer),
                nonce=job.id,
                allowed_mentions=discord.AllowedMentions(users=[discord.Object(job.user_id)]),
            )
        self._failpoint("after post")

    async def _reply_is_answered(self, job: Job) -> bool:
        """Whether an edit arrived after all, of which only an error was seen."""
        message = self._channel(job).get_partial_message(job.destination.message_id)
        with contextlib.suppress(discord.NotFound, discord.Forbidden):
            return _is_answer(await message.fetch(), job)
        return False

    async def _find(self, job: Job, channel: discord.abc.Messageable, since: float) -> bool:
        """Whether the message that was being sent at `since` is there.

        Where the history may not be read this says no: a second answer is better than none.
        """
        moment = datetime.datetime.fromtimestamp(since, datetime.UTC)
        with contextlib.suppress(discord.NotFound, discord.Forbidden):
            async for message in channel.history(
                limit=None,
                after=moment - CLOCK_SKEW,
                before=moment + CLOCK_SKEW + datetime.timedelta(seconds=NONCE_SECONDS),
            ):
                if _is_answer(message, job):
                    return True
        return False

    def _channel(self, job: Job) -> discord.PartialMessageable:
        destination = job.destination
        return self._client.get_partial_messageable(
            destination.channel_id, guild_id=destination.guild_id
        )


def _is_answer(message: discord.Message, job: Job) -> bool:
    return any(getattr(component, "id", None) == mark(job.id) for component in message.components)


def _files(answer: MessageContent) -> list[discord.File]:
    return [upload.file() for upload in answer.files]


def _mention(view: discord.ui.LayoutView, job: Job) -> None:
    """Put the person's name on top: an edit notifies nobody and needs none."""
    items = view.children
    view.clear_items()
    items[0].id = None
    view.add_item(discord.ui.TextDisplay(f"<@{job.user_id}>", id=mark(job.id)))
    for item in items:
        view.add_item(item)
