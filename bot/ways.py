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

from bot.answer import Answer
from bot.jobs.job import Job
from bot.jobs.store import Store

# "The past few minutes" of `enforce_nonce`
# (https://discord.com/developers/docs/resources/message#create-message), taken as three, less the
# time that one attempt with the library's own retries may take.
POST_SECONDS = 45.0
NONCE_SECONDS = 3 * 60.0 - POST_SECONDS - 15.0
# How far this machine's clock and Discord's may be apart when looking for a message by its time.
CLOCK_SKEW = datetime.timedelta(minutes=5)
# An upload of 10 MiB over a slow line.
EDIT_SECONDS = 90.0


class Way(Enum):
    """In the order in which they are tried."""

    TOKEN_EDIT = auto()
    BOT_EDIT = auto()
    CHANNEL_POST = auto()
    DIRECT_POST = auto()


def ways_to(job: Job, now: float) -> list[Way]:
    """The ways that are open for the job's answer, best first.

    Where a new message may have been sent already, only that channel and what comes after it.
    """
    place = job.destination
    if job.post_channel_id not in (None, place.channel_id):
        return [Way.DIRECT_POST]
    if job.post_channel_id is not None:
        return [Way.CHANNEL_POST, Way.DIRECT_POST]
    token_lives = place.token and place.token_expires_at and now < place.token_expires_at
    return [
        *([Way.TOKEN_EDIT] if token_lives else []),
        *([] if place.private else [Way.BOT_EDIT, Way.CHANNEL_POST]),
        Way.DIRECT_POST,
    ]


def mark(job_id: str) -> int:
    """A component id that only this job's answer has: 32 bits, above those Discord hands out."""
    return 0x1000_0000 | int(job_id[:7], 16)


class Ways:
    """Sends an answer by one way, once, as `client`. Raises whatever discord.py raises."""

    def __init__(
        self,
        client: discord.Client,
        store: Store,
        clock: Callable[[], float],
        checkpoint: Callable[[str], None],
    ) -> None:
        self._client = client
        self._store = store
        self._clock = clock
        self._checkpoint = checkpoint

    async def send(self, way: Way, job: Job, answer: Answer) -> None:
        """The final answer. May be called again for the same job without answering it twice."""
        answer.view.children[0].id = mark(job.id)
        match way:
            case Way.TOKEN_EDIT | Way.BOT_EDIT:
                async with asyncio.timeout(EDIT_SECONDS):
                    await self.edit(way, job, answer)
            case Way.CHANNEL_POST:
                if not await self._reply_is_answered(job):
                    await self._post(job, answer, self._channel(job))
            case Way.DIRECT_POST:
                person = await self._client.create_dm(discord.Object(job.user_id))
                await self._post(job, answer, person)

    async def edit(self, way: Way, job: Job, answer: Answer) -> None:
        """Turn the reply into the answer, with the interaction's token or the bot's own."""
        place = job.destination
        self._checkpoint("before edit")
        if way is Way.TOKEN_EDIT:
            assert place.token is not None
            webhook = discord.Webhook.partial(
                place.application_id, place.token, client=self._client
            )
            await webhook.edit_message(
                place.message_id, view=answer.view, attachments=_files(answer)
            )
        else:
            message = self._channel(job).get_partial_message(place.message_id)
            await message.edit(view=answer.view, attachments=_files(answer))
        self._checkpoint("after edit")

    async def _post(self, job: Job, answer: Answer, channel: discord.abc.Messageable) -> None:
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
        self._checkpoint("before post")
        async with asyncio.timeout(POST_SECONDS):
            await channel.send(
                view=answer.view,
                files=_files(answer),
                nonce=job.id,
                allowed_mentions=discord.AllowedMentions(users=[discord.Object(job.user_id)]),
            )
        self._checkpoint("after post")

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
        place = job.destination
        return self._client.get_partial_messageable(place.channel_id, guild_id=place.guild_id)


def _is_answer(message: discord.Message, job: Job) -> bool:
    return any(getattr(component, "id", None) == mark(job.id) for component in message.components)


def _files(answer: Answer) -> list[discord.File]:
    return [upload.file() for upload in answer.files]


def _mention(view: discord.ui.LayoutView, job: Job) -> None:
    """Put the person's name on top: an edit notifies nobody and needs none."""
    items = view.children
    view.clear_items()
    items[0].id = None
    view.add_item(discord.ui.TextDisplay(f"<@{job.user_id}>", id=mark(job.id)))
    for item in items:
        view.add_item(item)
