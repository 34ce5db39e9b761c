"""The moderation log: one message per case in a channel of the server's choice.

The messages show thumbnails and prompts only as long as the case keeps them: afterwards they are
edited to what happened, to whom and when.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import replace
from types import TracebackType
from typing import Any, Protocol, Self

import discord

from bot.delivery.message import Upload
from bot.images.compose import thumbnail
from bot.images.encode import encode
from bot.images.picture import Picture
from bot.moderation.cases import ModerationCases
from bot.moderation.lists import ModerationLists
from bot.moderation.model import Action, Case
from bot.retention_clock import RetentionClock, seconds_since_boot
from bot.store.guild_settings import GuildSettings, SettingsUnreadable

log = logging.getLogger(__name__)

THUMBNAIL_SIDE = 192
# A PNG of that size is far below it.
THUMBNAIL_BYTES = 2**20
INTERVAL_SECONDS = 600.0


class CaseRenderer(Protocol):
    """Builds the messages of the log. The cog implements it."""

    def entry(
        self, case: Case, actions: Sequence[Action], filenames: Sequence[str], locale: str
    ) -> discord.ui.LayoutView:
        """A case, what was done about it, its thumbnails by name, and its buttons."""
        ...

    def action(self, action: Action, locale: str) -> discord.ui.LayoutView:
        """An action that belongs to no case."""
        ...

    def appeal(self, case: Case, locale: str) -> discord.ui.LayoutView:
        """A user asks for a case to be looked at."""
        ...


class ModerationLog:
    """Open it with `async with`; it posts once the client has logged in.

    Posting never fails a check: what Discord refuses is logged for the operator.
    """

    def __init__(
        self,
        client: discord.Client,
        renderer: CaseRenderer,
        lists: ModerationLists,
        cases: ModerationCases,
        guild_settings: GuildSettings,
        *,
        retention_hours: float,
        clock: Callable[[], float] = time.time,
        elapsed: Callable[[], float] = seconds_since_boot,
    ) -> None:
        self._client = client
        self._renderer = renderer
        self._lists = lists
        self._cases = cases
        self._guild_settings = guild_settings
        self._retention_seconds = retention_hours * 3600
        self._retention_clock = RetentionClock(clock, elapsed)
        self._tasks: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        # Contents are not added while others are removed.
        self._editing = asyncio.Lock()

    async def __aenter__(self) -> Self:
        self._spawn(self._keep_retention())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def post_case(self, case: Case, sources: Sequence[Picture], results: Sequence[Picture]) -> None:
        """Post a new case with thumbnails of its pictures."""
        self._spawn(self._post_case(case, sources, results))

    def post_action(self, action: Action) -> None:
        """Post what a moderator did with a command."""
        self._spawn(self._post_action(action))

    async def post_appeal(self, case: Case) -> None:
        """Post that a user appeals."""
        channel = await self._channel(case.guild_id)
        if channel is not None:
            await self._send(channel, self._renderer.appeal(case, await self._locale(case)))

    async def refresh(self, case_id: int) -> None:
        """Show a case's present state in its entry."""
        async with self._editing:
            case = await self._cases.case(case_id)
            if case is None or case.log_channel_id is None or case.log_message_id is None:
                return
            channel = self._client.get_partial_messageable(case.log_channel_id)
            try:
                message = await channel.fetch_message(case.log_message_id)
                files = [] if case.stripped else message.attachments
                view = self._renderer.entry(
                    case,
                    await self._cases.actions_of(case.id),
                    [file.filename for file in files],
                    await self._locale(case),
                )
                await message.edit(view=view, attachments=files)
            except discord.HTTPException as error:
                log.warning("the log entry of case %d could not be edited: %s", case.id, error)

    def clean(self) -> None:
        """Empty the entries of cases whose contents are gone, now and every ten minutes. Called
        first when the client has logged in, and when a user's data were erased."""
        self._wake.set()

    async def _post_case(
        self, case: Case, sources: Sequence[Picture], results: Sequence[Picture]
    ) -> None:
        channel = await self._channel(case.guild_id)
        if channel is None:
            return
        # First without contents: once its id is recorded, the entry can be emptied in any case.
        bare = replace(case, prompt=None)
        view = self._renderer.entry(bare, [], [], await self._locale(case))
        message = await self._send(channel, view)
        if message is None:
            return
        await self._cases.logged(case.id, message.channel.id, message.id)
        files = await asyncio.to_thread(_thumbnails, case, sources, results)
        async with self._editing:
            current = await self._cases.case(case.id)
            if current is None or current.stripped:
                return
            view = self._renderer.entry(
                current,
                await self._cases.actions_of(case.id),
                [file.filename for file in files],
                await self._locale(case),
            )
            try:
                await message.edit(view=view, attachments=[file.file() for file in files])
            except discord.HTTPException as error:
                log.warning("the log entry of case %d could not be edited: %s", case.id, error)

    async def _post_action(self, action: Action) -> None:
        channel = await self._channel(action.guild_id)
        if channel is not None:
            await self._send(channel, self._renderer.action(action, await self._locale(action)))

    async def _send(
        self, channel: discord.abc.Messageable, view: discord.ui.LayoutView
    ) -> discord.Message | None:
        try:
            return await channel.send(view=view)
        except discord.HTTPException as error:
            log.warning("an entry of the moderation log could not be posted: %s", error)
            return None

    async def _channel(self, guild_id: int) -> discord.PartialMessageable | None:
        channel_id = (await self._lists.policy(guild_id)).log_channel_id
        if channel_id is None:
            return None
        return self._client.get_partial_messageable(channel_id, guild_id=guild_id)

    async def _locale(self, entry: Case | Action) -> str:
        """The language of the server's public messages."""
        # Unreadable settings of one server must not stop the log of the others.
        with suppress(SettingsUnreadable):
            options = await self._guild_settings.options(entry.guild_id)
            if options.language is not None:
                return options.language
        guild = self._client.get_guild(entry.guild_id)
        return str(guild.preferred_locale) if guild else "en-US"

    async def _keep_retention(self) -> None:
        await self._wake.wait()
        while True:
            self._wake.clear()
            try:
                await self._expire()
                for case in await self._cases.to_strip():
                    async with self._editing:
                        await self._strip(case)
            except (OSError, sqlite3.Error):
                log.exception("old cases could not be emptied; trying again later")
            try:
                async with asyncio.timeout(INTERVAL_SECONDS):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _expire(self) -> None:
        await self._cases.expire(self._retention_clock.cutoff(self._retention_seconds))
        for guild_id, hours in (await self._guild_settings.with_retention()).items():
            if hours * 3600 < self._retention_seconds:
                await self._cases.expire(self._retention_clock.cutoff(hours * 3600), guild_id)

    async def _strip(self, case: Case) -> None:
        assert case.log_channel_id is not None
        assert case.log_message_id is not None
        channel = self._client.get_partial_messageable(case.log_channel_id)
        view = self._renderer.entry(
            case, await self._cases.actions_of(case.id), [], await self._locale(case)
        )
        try:
            await channel.get_partial_message(case.log_message_id).edit(view=view, attachments=[])
        except (discord.NotFound, discord.Forbidden) as error:
            log.warning("the log entry of case %d is out of reach: %s", case.id, error)
        except discord.HTTPException as error:
            log.warning("the log entry of case %d could not be edited: %s", case.id, error)
            return
        await self._cases.stripped(case.id)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name="moderation log")
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("the moderation log failed", exc_info=error)


def _thumbnails(
    case: Case, sources: Sequence[Picture], results: Sequence[Picture]
) -> tuple[Upload, ...]:
    named = [(f"source-{number}", picture) for number, picture in enumerate(sources, 1)]
    if len(results) == 1:
        named.append(("result", results[0]))
    else:
        named += [(f"result-{number}", picture) for number, picture in enumerate(results, 1)]
    uploads = []
    for name, picture in named:
        file = encode(thumbnail(picture, THUMBNAIL_SIDE), limit_bytes=THUMBNAIL_BYTES)
        uploads.append(
            Upload(
                name=f"case-{case.id}-{name}.{file.extension}",
                data=file.data,
                description=name,
                spoiler=True,
            )
        )
    return tuple(uploads)
