"""A simulated Discord server with the bot, two channels and two users, in real time, and the
direct messages of each user with the bot.

Longer than 300 lines: each action of the page is a method, and all share one lock.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, cast

import discord
import simcord
from simcord.actors import MemberActor
from simcord.backend.models import Interaction
from simcord.builders import ChannelHandle
from simcord.enums import AppCommandType, OptionType
from simcord.interactions import command_leaves

from bot.cli.demo.actions import (
    ActionRefused,
    File,
    NoResponse,
    Outcome,
    localized_paths,
    read_options,
)
from bot.cli.demo.clock import RealClock
from bot.cli.demo.direct import Actor, DirectActor
from bot.client import RedrawBot

log = logging.getLogger(__name__)

# How long an action waits for the bot's tasks. Jobs go on in the background after that.
SETTLE_SECONDS = 0.3
TIMER_SECONDS = 0.25
# Discord waits 3 s: https://discord.com/developers/docs/interactions/receiving-and-responding
RESPONSE_SECONDS = 3.5
STOP_SECONDS = 10.0


class Simulation:
    """The simulated server. One action runs at a time; none of them can end the simulation."""

    def __init__(self, bot: RedrawBot) -> None:
        self.bot = bot
        # Errors are logged by the bot's own handlers.
        self.env = simcord.Env(
            bot, shard_count=1, settle_timeout=SETTLE_SECONDS, check_errors=False
        )
        self.env.backend.clock = RealClock()  # type: ignore[assignment]
        self.env.backend.bot_user.name = "Redraw"
        self.env.backend.subscribers.append(self._set_locale)
        self.channels: dict[int, ChannelHandle] = {}
        # User → their direct messages with the bot.
        self.direct: dict[int, ChannelHandle] = {}
        self.users: dict[int, MemberActor] = {}
        self._targets: dict[OptionType, Mapping[int, Any]] = {
            OptionType.CHANNEL: self.channels,
            OptionType.USER: self.users,
        }
        self._locales: dict[str, str] = {}
        self._modals: dict[str, tuple[Actor, simcord.InteractionResult]] = {}
        # Interaction → path of the slash command, e.g. `privacy export`.
        self._paths: dict[int, str] = {}
        self._lock = asyncio.Lock()

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Start the bot inside the simulation; stop it at the end."""
        await self.env.start()
        with self.env.time_context():
            timers = asyncio.create_task(self._run_timers(), name="simulated timers")
            try:
                yield
            finally:
                timers.cancel()
                await asyncio.gather(timers, return_exceptions=True)
                self.env.settle_timeout = STOP_SECONDS
                try:
                    await self.env.shutdown()
                except TimeoutError as error:
                    log.warning("the simulation ends before the bot's threads do: %s", error)

    def create_server(self, name: str) -> None:
        """Create the guild, its channels and its users; the first user manages the server."""
        guild = self.env.create_guild(name)
        manager = guild.create_role(
            "manager", permissions=discord.Permissions(manage_guild=True, manage_messages=True)
        )
        for channel in ("pictures", "gallery"):
            handle = guild.create_text_channel(channel)
            self.channels[handle.id] = handle
        for user, roles in (("alice", [manager]), ("bob", [])):
            member = guild.add_member(self.env.create_user(user), roles=roles)
            self.users[member.id] = member
            self.direct[member.id] = member.user.dm_channel

    @property
    def version(self) -> int:
        """Grows whenever something in the simulated Discord may have changed."""
        return len(self.env.backend.transcript) + len(self._paths)

    def channel(self, name: str) -> ChannelHandle:
        """The channel of this name."""
        return next(channel for channel in self.channels.values() if channel.name == name)

    def channels_of(self, user: MemberActor) -> dict[int, ChannelHandle]:
        """The channels of the server, and the user's direct messages."""
        direct = self.direct[user.id]
        return {**self.channels, direct.id: direct}

    def user(self, name: str) -> MemberActor:
        """The user of this name."""
        return next(user for user in self.users.values() if user.name == name)

    def set_locale(self, user_id: int, locale: str) -> None:
        """Choose the language of a user's Discord client, e.g. `de` or `en-US`."""
        self._locales[str(user_id)] = locale

    def history(self, user: MemberActor, channel: ChannelHandle) -> list[discord.Message]:
        """The messages of the channel that the user can see, oldest first."""
        direct = channel.id == self.direct[user.id].id
        return channel.history(viewer=user.user if direct else user)

    def command_of(self, message: discord.Message) -> str | None:
        """The path of the slash command, or the name of the menu's command, that a message
        answers."""
        if message.interaction_metadata is None:
            return None
        interaction_id = message.interaction_metadata.id
        record = self.env.backend.interactions.get(interaction_id)
        return self._paths.get(interaction_id) or (record.command_name if record else None)

    def attachment(self, url: str) -> bytes | None:
        """The content of an uploaded file."""
        return self.env.backend.cdn.get(url)

    def commands(self, user: MemberActor, channel: ChannelHandle) -> list[dict[str, Any]]:
        """The slash commands that the user may use there, each with its `path` and options."""
        roots = self.env.backend.visible_commands(user_id=user.id, channel_id=channel.id)
        return [
            {**leaf, "path": " ".join(path), "names": localized_paths(root, path)}
            for root in roots
            for path, leaf in command_leaves(root)
        ]

    def message_commands(self, user: MemberActor, channel: ChannelHandle) -> list[dict[str, Any]]:
        """The commands in the menu of a message. Direct messages have none; see `DirectActor`."""
        if channel.id not in self.channels:
            return []
        return self.env.backend.visible_commands(
            user_id=user.id, channel_id=channel.id, type=AppCommandType.MESSAGE
        )

    # ---------------------------------------------------------------- actions

    async def send(
        self,
        user: MemberActor,
        channel: ChannelHandle,
        content: str,
        *,
        reply_to: int | None = None,
        files: list[File] | None = None,
    ) -> None:
        """Post a message.

        Raises:
            ActionRefused: Discord would not accept it.
        """
        replied = self._message(user, channel, reply_to) if reply_to is not None else None
        actor = self._actor(user, channel)
        await self._perform(
            lambda: actor.send(channel, content, reply_to=replied, attachments=files or ())
        )

    async def delete(self, user: MemberActor, channel: ChannelHandle, message_id: int) -> None:
        """Delete a message.

        Raises:
            ActionRefused: the user may not.
        """
        message = self._message(user, channel, message_id)
        await self._perform(lambda: self._actor(user, channel).delete(message))

    async def react(
        self, user: MemberActor, channel: ChannelHandle, message_id: int, emoji: str
    ) -> None:
        """Add a reaction to a message.

        Raises:
            ActionRefused: the message is gone.
        """
        message = self._message(user, channel, message_id)
        await self._perform(lambda: self._actor(user, channel).react(message, emoji))

    async def slash(
        self,
        user: MemberActor,
        channel: ChannelHandle,
        path: str,
        values: Mapping[str, Any],
        files: Mapping[str, File],
    ) -> Outcome:
        """Run a slash command. `values` are as typed; `files` are the attachment options.

        Raises:
            ActionRefused: an option is not valid, or the bot did not answer.
        """
        options = read_options(self.commands(user, channel), self._targets, path, values, files)
        actor = self._actor(user, channel)
        return await self._interact(actor, lambda: actor.slash(channel, path, **options), path)

    async def autocomplete(
        self, user: MemberActor, channel: ChannelHandle, path: str, option: str, typed: str
    ) -> Outcome:
        """Ask the bot for choices.

        Raises:
            ActionRefused: the bot did not answer.
        """
        actor = self._actor(user, channel)
        return await self._interact(actor, lambda: actor.autocomplete(channel, path, option, typed))

    async def menu(
        self, user: MemberActor, channel: ChannelHandle, name: str, message_id: int
    ) -> Outcome:
        """Run a message command.

        Raises:
            ActionRefused: the message is gone, or the bot did not answer.
        """
        message = self._message(user, channel, message_id)
        actor = self._actor(user, channel)
        return await self._interact(actor, lambda: actor.context_menu(channel, name, message))

    async def click(
        self, user: MemberActor, channel: ChannelHandle, message_id: int, custom_id: str
    ) -> Outcome:
        """Press a button.

        Raises:
            ActionRefused: it is gone, or the bot did not answer.
        """
        message = self._message(user, channel, message_id)
        actor = self._actor(user, channel)
        return await self._interact(actor, lambda: actor.click(message, custom_id=custom_id))

    async def select(
        self,
        user: MemberActor,
        channel: ChannelHandle,
        message_id: int,
        custom_id: str,
        values: list[Any],
    ) -> Outcome:
        """Choose from a select menu.

        Raises:
            ActionRefused: it is gone, or the bot did not answer.
        """
        message = self._message(user, channel, message_id)
        actor = self._actor(user, channel)
        return await self._interact(
            actor, lambda: actor.select(message, values, custom_id=custom_id)
        )

    async def submit(self, modal_id: str, values: Mapping[str, Any]) -> Outcome:
        """Submit a form: custom id → text, list of choices, bool, or list of files.

        Raises:
            ActionRefused: a field is not valid, or the bot did not answer.
        """
        if modal_id not in self._modals:
            raise ActionRefused("demo.refused_form")
        actor, shown = self._modals[modal_id]
        outcome = await self._interact(actor, lambda: actor.submit_modal(shown, dict(values)))
        self._modals.pop(modal_id, None)
        return outcome

    async def _interact(
        self, actor: Actor, action: Callable[[], Awaitable[object]], path: str | None = None
    ) -> Outcome:
        """Perform an interaction of `actor` and wait until the bot has responded to it."""
        record = await self._perform(action)
        if record is None:
            raise NoResponse
        if path is not None:
            self._paths[record.id] = path
        try:
            async with asyncio.timeout(RESPONSE_SECONDS):
                while not record.responded:  # noqa: ASYNC110 - simcord has no event for it
                    await asyncio.sleep(0.02)
        except TimeoutError as error:
            raise NoResponse from error
        result = simcord.InteractionResult(self.env, record)
        if result.modal is None:
            return Outcome(choices=result.autocomplete_choices)
        self._modals[str(record.id)] = (actor, result)
        return Outcome(modal_id=str(record.id), modal=result.modal)

    async def _perform(self, action: Callable[[], Awaitable[object]]) -> Interaction | None:
        """Perform an action; return the interaction that it started, if it is one."""
        interactions = self.env.backend.interactions
        async with self._lock:
            before = len(interactions)
            try:
                await action()
            except TimeoutError:
                pass  # Some task of the bot still runs; the action itself has taken place.
            except (simcord.SetupError, simcord.BackendError, ValueError) as error:
                raise ActionRefused(None, f"{error}".rstrip(".") + ".") from error
            started = list(interactions.values())[before:]
        return started[0] if started else None

    async def _run_timers(self) -> None:
        """Fire timers that simcord fires only when it settles, e.g. those of views."""
        while True:
            await asyncio.sleep(TIMER_SECONDS)
            async with self._lock:
                with contextlib.suppress(TimeoutError):
                    await self.env.settle(timeout=0)

    def _set_locale(self, event: str, payload: Mapping[str, Any]) -> None:
        """Subscribed before the bot: interactions arrive in the user's language."""
        if event == "INTERACTION_CREATE":
            # In direct messages there is no member.
            user_id = payload.get("member", payload)["user"]["id"]
            changed = cast("dict[str, Any]", payload)
            changed["locale"] = self._locales.get(user_id, payload["locale"])

    def _actor(self, user: MemberActor, channel: ChannelHandle) -> Actor:
        """The user as simcord has them in this channel."""
        return user if channel.id in self.channels else DirectActor(self.env, user.user)

    def _message(
        self, user: MemberActor, channel: ChannelHandle, message_id: int
    ) -> discord.Message:
        message = discord.utils.get(self.history(user, channel), id=message_id)
        if message is None:
            raise ActionRefused("demo.page.gone")
        return message
