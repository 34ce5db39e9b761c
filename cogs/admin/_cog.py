"""`/admin`: pause, resume, drain, statistics, bans in every server, and reloading the styles."""

from __future__ import annotations

import asyncio
from typing import Any

import discord
from discord import app_commands
from discord.app_commands import Range
from discord.ext import commands

from bot.client import RedrawBot
from bot.errors import StartError
from bot.i18n.translate import localized_name, translate
from bot.moderation.actions import Moderator
from bot.moderation.model import EVERYWHERE, ActionKind, Effect, Place, Subject
from bot.replies import reply_privately
from cogs.admin._errors import NoSuchBan, NoTarget, NotAServerId, OperatorOnly, StylesInvalid
from cogs.admin._statistics import statistics_text
from cogs.shared.commands import command
from cogs.shared.guard import CheckedCommands
from cogs.shared.text import plain

Interaction = discord.Interaction[RedrawBot]
Reason = Range[str, 1, 400]
ServerId = Range[str, 15, 20]
# Discord's ids have 64 bits, of which the upper 42 are milliseconds since 2015: no id reaches the
# upper bound of SQLite's signed integers before the year 2084.
# https://discord.com/developers/docs/reference#snowflakes
MAX_ID = 2**63 - 1

# An interaction token is valid for 15 minutes.
DRAIN_SECONDS = 14 * 60.0
# A message holds 2,000 characters; an entry takes about 60.
LISTED = 25


@app_commands.default_permissions(administrator=True)
@app_commands.guild_only()
class Admin(
    CheckedCommands,
    commands.GroupCog,
    group_name=localized_name("admin.command"),
    group_description=localized_name("admin.description"),
):
    """For the application's owner and its team. Discord shows it to administrators only."""

    def __init__(self, bot: RedrawBot) -> None:
        self.bot = bot

    async def check_access(self, interaction: discord.Interaction[Any]) -> None:
        """See `CheckedCommands`."""
        if not await self.bot.is_owner(interaction.user):
            raise OperatorOnly

    @command("admin", "pause", "sentence")
    async def pause(self, interaction: Interaction, sentence: Range[str, 1, 200]) -> None:
        """Accept no more requests until `/admin resume`, also after a restart."""
        await self.bot.services.runner.acceptance.pause(plain(sentence, 400))
        await self._reply(interaction, "admin.paused")

    @command("admin", "resume")
    async def resume(self, interaction: Interaction) -> None:
        """Accept requests again."""
        await self.bot.services.runner.acceptance.resume()
        await self._reply(interaction, "admin.resumed")

    @command("admin", "drain")
    async def drain(self, interaction: Interaction) -> None:
        """Accept no more requests until the next start, and report when all are answered."""
        runner = self.bot.services.runner
        runner.acceptance.draining = True
        await interaction.response.defer(thinking=True, ephemeral=True)
        try:
            await asyncio.wait_for(runner.wait_idle(), DRAIN_SECONDS)
            text = translate(interaction.locale, "admin.drained")
        except TimeoutError:
            left = len(runner.running) + len(runner.queue)
            text = translate(interaction.locale, "admin.draining", requests=left)
        await interaction.edit_original_response(content=text)

    @command("admin", "statistics", "days")
    async def statistics(self, interaction: Interaction, days: Range[int, 1, 90] = 1) -> None:
        """Show requests, pictures, device seconds, waiting times and refusals."""
        text = await statistics_text(self.bot, days, str(interaction.locale))
        await reply_privately(interaction, text)

    @command("admin", "ban", "user", "server", "reason")
    async def ban(
        self,
        interaction: Interaction,
        user: discord.User | None = None,
        server: ServerId | None = None,
        reason: Reason = "",
    ) -> None:
        """Ban a user in every server, or all users of a server."""
        subject, subject_id = _target(user, server)
        by = Moderator(EVERYWHERE, interaction.user.id)
        actions = self.bot.services.moderator_actions
        await actions.restrict(by, Effect.BAN, subject, subject_id, reason=reason)
        await self._reply(interaction, "admin.banned", target=_mention(subject, subject_id))

    @command("admin", "unban", "user", "server", "reason")
    async def unban(
        self,
        interaction: Interaction,
        user: discord.User | None = None,
        server: ServerId | None = None,
        reason: Reason = "",
    ) -> None:
        """End such a ban.

        Raises:
            NoSuchBan: there is none.
        """
        subject, subject_id = _target(user, server)
        by = Moderator(EVERYWHERE, interaction.user.id)
        actions = self.bot.services.moderator_actions
        target = _mention(subject, subject_id)
        if not await actions.lift(by, ActionKind.UNBAN, subject, subject_id, reason):
            raise NoSuchBan(target=target)
        await self._reply(interaction, "admin.unbanned", target=target)

    @command("admin", "bans")
    async def bans(self, interaction: Interaction) -> None:
        """List the bans that hold in every server."""
        entries = await self.bot.services.moderation.lists.restrictions(Place(None, 0))
        banned = [entry for entry in entries if entry.effect is Effect.BAN]
        lines = [f"- {_mention(entry.subject, entry.subject_id)}" for entry in banned[:LISTED]]
        if len(banned) > LISTED:
            more = len(banned) - LISTED
            lines.append(translate(interaction.locale, "moderation.more", count=more))
        empty = translate(interaction.locale, "admin.no_bans")
        await reply_privately(interaction, "\n".join(lines) or empty)

    @command("admin", "reload")
    async def reload(self, interaction: Interaction) -> None:
        """Read the file of styles again. Prompt rules are in the database and hold at once.

        Raises:
            StylesInvalid: the file cannot be read; the styles are not changed.
        """
        try:
            count = await asyncio.to_thread(self.bot.services.styles.reload)
        except StartError as error:
            raise StylesInvalid(problem=str(error)[:300]) from error
        await self._reply(interaction, "admin.reloaded", count=count)

    async def _reply(self, interaction: Interaction, key: str, **params: Any) -> None:
        await reply_privately(interaction, translate(interaction.locale, key, **params))


def _target(user: discord.User | None, server: str | None) -> tuple[Subject, int]:
    if user is not None and server is None:
        return Subject.USER, user.id
    if user is not None or server is None:
        raise NoTarget
    if not server.isdecimal() or int(server) > MAX_ID:
        raise NotAServerId(server=plain(server))
    return Subject.SERVER, int(server)


def _mention(subject: Subject, subject_id: int) -> str:
    return f"<@{subject_id}>" if subject is Subject.USER else f"`{subject_id}`"
