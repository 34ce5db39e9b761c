"""Answers a job exactly once, whatever Discord does.

The answer is an edit of the message that the person already has: repeating an edit adds nothing.
Within the interaction token's 15 minutes through the token, after that with the bot's own. Only if
the message is gone or can no longer be edited, a new one is sent, with the job's id as an enforced
nonce. Nothing is delivered by follow-up, which has no nonce.
"""

from __future__ import annotations

import asyncio
import io
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol

import aiohttp
import discord

from bot.errors import RequestError
from bot.jobs.job import Destination, Job, JobProgress, JobState, Place
from bot.jobs.store import Store
from bot.pacer import Pacer
from bot.picture import Picture

log = logging.getLogger(__name__)

# A token that is about to end might end under way.
TOKEN_MARGIN = 20.0
# Seconds between attempts where trying again can help; then it is left for the next start.
BACK_OFF = (0.5, 2.0, 8.0, 30.0, 60.0)
# Discord enforces a nonce for "the past few minutes"; after a longer gap the channel is searched.
# https://discord.com/developers/docs/resources/message#create-message
SEARCH_LIMIT = 100


class Reaction(Enum):
    """What is done about an error of Discord's."""

    RETRY = auto()
    OTHER_WAY = auto()
    BLOCKED = auto()
    TOO_LARGE = auto()
    GIVE_UP = auto()


# https://discord.com/developers/docs/topics/opcodes-and-status-codes#json
REACTIONS: dict[int, Reaction] = {
    10003: Reaction.GIVE_UP,  # unknown channel: it was deleted
    10008: Reaction.OTHER_WAY,  # unknown message: it was deleted
    10015: Reaction.OTHER_WAY,  # unknown webhook: the token is gone
    10062: Reaction.OTHER_WAY,  # unknown interaction
    20009: Reaction.BLOCKED,  # explicit content
    30046: Reaction.OTHER_WAY,  # too many edits of an old message
    40005: Reaction.TOO_LARGE,  # request entity too large
    40060: Reaction.OTHER_WAY,  # already acknowledged
    50001: Reaction.GIVE_UP,  # missing access
    50013: Reaction.GIVE_UP,  # missing permissions
    50027: Reaction.OTHER_WAY,  # invalid webhook token
    200000: Reaction.BLOCKED,  # automod
    240000: Reaction.BLOCKED,  # content blocked
}

BLOCKED_SENTENCE = "Discord did not let this picture or its prompt through."
TOO_LARGE_SENTENCE = "Discord found this picture too large to take."


def reaction_to(error: Exception) -> Reaction:
    """By Discord's own code, then by status: 401, 403 and 404 are never repeated as they were."""
    if isinstance(error, discord.HTTPException):
        if error.code in REACTIONS:
            return REACTIONS[error.code]
        if error.status == 413:
            return Reaction.TOO_LARGE
        if error.status >= 500 or error.status == 429:
            return Reaction.RETRY
        return Reaction.OTHER_WAY
    return Reaction.RETRY


class MissingPermissions(RequestError):
    """Found before anything is made, not after."""

    text = "I am not allowed to answer here: in this channel I need {permissions}."


def check_permissions(interaction: discord.Interaction[discord.Client]) -> None:
    """Refuse now what could not be answered later.

    Raises:
        MissingPermissions: the bot lacks something in this channel.
    """
    if interaction.guild_id is None:
        return
    allowed = interaction.app_permissions
    thread = isinstance(interaction.channel, discord.Thread)
    send = "send_messages_in_threads" if thread else "send_messages"
    missing = [
        name for name in ("view_channel", send, "attach_files") if not getattr(allowed, name)
    ]
    if missing:
        names = ", ".join(name.replace("_", " ").title() for name in missing)
        raise MissingPermissions(permissions=names)


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A file to attach: bytes, so that an attempt can be repeated."""

    name: str
    data: bytes
    description: str
    spoiler: bool = False

    @property
    def filename(self) -> str:
        """The name as Discord gets it: a spoiler is one by its name."""
        return f"SPOILER_{self.name}" if self.spoiler else self.name

    def file(self) -> discord.File:
        """A fresh file for one attempt."""
        return discord.File(io.BytesIO(self.data), self.filename, description=self.description)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a message becomes: a Components V2 view and the files that it shows."""

    view: discord.ui.LayoutView
    files: tuple[Upload, ...] = ()


class Presenter(Protocol):
    """Turns a job into what a person sees. The cog implements it; delivery only sends it."""

    def queued(self, job: Job, place: Place) -> Answer:
        """Accepted and waiting."""
        ...

    def running(self, job: Job, progress: JobProgress) -> Answer:
        """A step was taken; `progress.preview` may carry a small picture."""
        ...

    def made(self, job: Job, pictures: Sequence[Upload]) -> Answer:
        """The pictures, with settings and buttons."""
        ...

    def failed(self, job: Job) -> Answer:
        """`job.error` is the sentence."""
        ...

    def cancelled(self, job: Job) -> Answer:
        """The owner or a moderator ended it."""
        ...


Encode = Callable[[Job, Sequence[Picture]], Awaitable[tuple[Upload, ...]]]


class Delivery:
    """Sends what the presenter draws. `clock` is seconds since the epoch; `sleep` waits between
    attempts."""

    def __init__(
        self,
        client: discord.Client,
        presenter: Presenter,
        store: Store,
        encode: Encode,
        *,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._client = client
        self._presenter = presenter
        self._store = store
        self._encode = encode
        self._clock = clock
        self._sleep = sleep
        self._pacer = Pacer()

    def show_queued(self, job: Job, place: Place) -> None:
        """Show a place in line, when there is room for an edit."""
        self._offer(job, lambda: self._presenter.queued(job, place))

    def show_progress(self, job: Job, progress: JobProgress) -> None:
        """Show progress, when there is room for an edit."""
        self._offer(job, lambda: self._presenter.running(job, progress))

    async def answer(self, job: Job) -> Job:
        """Give the person the pictures or the sentence, and remember that they have it.

        Raises:
            Exception: Discord cannot be reached for minutes; the job stays unanswered and is
                answered at the next start.
        """
        where = job.destination
        await self._pacer.close(where.channel_id, where.message_id)
        try:
            reaction = await self._deliver(job, await self.draw(job))
            if reaction in (Reaction.BLOCKED, Reaction.TOO_LARGE):
                sentence = BLOCKED_SENTENCE if reaction is Reaction.BLOCKED else TOO_LARGE_SENTENCE
                job = await self._store.change(job.id, state=JobState.FAILED, error=sentence)
                reaction = await self._deliver(job, self._presenter.failed(job))
        finally:
            self._pacer.reopen(where.message_id)
        state = job.state
        if state is JobState.MADE:
            state = JobState.DELIVERED if reaction is None else JobState.FAILED
        if reaction is not None:
            log.warning("job %s: Discord takes no answer for it (%s)", job.id, reaction.name)
        finished = job.finished_at or self._clock()
        return await self._store.change(job.id, state=state, answered=True, finished_at=finished)

    async def draw(self, job: Job) -> Answer:
        """What a job's message looks like now.

        Raises:
            FileNotFoundError: a picture of it has been forgotten.
        """
        if job.state is JobState.CANCELLED:
            return self._presenter.cancelled(job)
        if job.state is JobState.FAILED:
            return self._presenter.failed(job)
        names = [variant.result for variant in job.variants if variant.result]
        pictures = [await self._store.pictures.get(name) for name in names]
        return self._presenter.made(job, await self._encode(job, pictures))

    async def _deliver(self, job: Job, answer: Answer) -> Reaction | None:
        """By edit, else by a new message. None if the person has it."""
        reaction = await self._insist(lambda: self._edit(job.destination, answer))
        if reaction is not Reaction.OTHER_WAY:
            return reaction
        if job.destination.private:
            return Reaction.GIVE_UP
        if job.resending and await self._already_sent(job):
            return None
        await self._store.change(job.id, resending=True)
        return await self._insist(lambda: self._send(job, answer))

    async def _insist(self, attempt: Callable[[], Awaitable[None]]) -> Reaction | None:
        """Try, with pauses where trying again can help.

        Raises:
            Exception: the last error, after all pauses.
        """
        for pause in (*BACK_OFF, None):
            try:
                await attempt()
            except (discord.HTTPException, aiohttp.ClientError, OSError, TimeoutError) as error:
                reaction = reaction_to(error)
                if reaction is not Reaction.RETRY:
                    return reaction
                if pause is None:
                    raise
                await self._sleep(pause)
            else:
                return None
        raise AssertionError("unreachable")

    def _offer(self, job: Job, draw: Callable[[], Answer]) -> None:
        where = job.destination
        self._pacer.offer(where.channel_id, where.message_id, lambda: self._edit(where, draw()))

    async def _edit(self, where: Destination, answer: Answer) -> None:
        """One edit, through the token while it lives, else with the bot's own."""
        files = [upload.file() for upload in answer.files]
        expires = where.token_expires_at or 0.0
        if where.token is not None and (where.private or self._clock() < expires - TOKEN_MARGIN):
            try:
                webhook = discord.Webhook.partial(
                    where.application_id, where.token, client=self._client
                )
                await webhook.edit_message(where.message_id, view=answer.view, attachments=files)
            except discord.HTTPException as error:
                # The token may end early; the message is still ours.
                if where.private or reaction_to(error) is not Reaction.OTHER_WAY:
                    raise
                files = [upload.file() for upload in answer.files]
            else:
                return
        message = self._channel(where).get_partial_message(where.message_id)
        await message.edit(view=answer.view, attachments=files)

    async def _send(self, job: Job, answer: Answer) -> None:
        channel = self._channel(job.destination)
        mention = discord.ui.TextDisplay[discord.ui.LayoutView](f"<@{job.user_id}>")
        view = discord.ui.LayoutView(timeout=None)
        for item in (mention, *answer.view.children):
            view.add_item(item)
        await channel.send(
            view=view,
            files=[upload.file() for upload in answer.files],
            nonce=job.id,
            allowed_mentions=discord.AllowedMentions(users=[discord.Object(job.user_id)]),
        )

    async def _already_sent(self, job: Job) -> bool:
        """Whether a new message of an earlier attempt is in the channel: it carries the job's id in
        a file name, a button or its text."""
        channel = self._channel(job.destination)
        after = discord.Object(job.destination.message_id)
        try:
            async for message in channel.history(limit=SEARCH_LIMIT, after=after):
                mine = self._client.user is not None and message.author.id == self._client.user.id
                if mine and job.id in _traces(message):
                    return True
        except discord.HTTPException:
            return False
        return False

    def _channel(self, where: Destination) -> discord.PartialMessageable:
        return self._client.get_partial_messageable(where.channel_id, guild_id=where.guild_id)


def _traces(message: discord.Message) -> str:
    names = " ".join(attachment.filename for attachment in message.attachments)
    return names + " ".join(repr(component.to_dict()) for component in message.components)
