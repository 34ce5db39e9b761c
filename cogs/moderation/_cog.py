"""`/moderation`: bans, allow lists, timeouts, the export, and the groups for rules and settings."""

from __future__ import annotations

import io
import json
from dataclasses import asdict
from typing import Any

import discord
from discord import app_commands
from discord.app_commands import Range
from discord.ext import commands

from bot.client import RedrawBot
from bot.i18n.translate import localized_name, translate
from bot.moderation.model import ActionKind, Effect, Place, Subject
from bot.replies import reply_privately
from cogs.moderation._errors import NotListed
from cogs.moderation._forms import MAX_MINUTES
from cogs.moderation._policy import PolicyGroup
from cogs.moderation._rules import RulesGroup
from cogs.moderation._who import Interaction, ModeratorsOnly, moderator
from cogs.shared.commands import command

Target = discord.User | discord.Member | discord.Role
Reason = Range[str, 1, 400]
# A message holds 2,000 characters; an entry of a list takes about 60.
LISTED = 25


@app_commands.default_permissions(manage_messages=True)
@app_commands.guild_only()
class Moderation(
    ModeratorsOnly,
    commands.GroupCog,
    group_name=localized_name("moderation.command"),
    group_description=localized_name("moderation.description"),
):
    """For members with Manage Messages in the whole server."""

    rules = RulesGroup()
    set = PolicyGroup()

    def __init__(self, bot: RedrawBot) -> None:
        self.bot = bot

    async def cog_load(self) -> None:
        """The client has logged in: entries whose contents are due can be emptied."""
        self.bot.services.moderation_log.clean()

    @command("moderation", "ban", "target", "reason", "everywhere")
    async def ban(
        self,
        interaction: Interaction,
        target: Target,
        reason: Reason = "",
        everywhere: bool = False,
    ) -> None:
        """Ban a user or a role from the bot; not from the server."""
        await self._restrict(interaction, Effect.BAN, target, reason, everywhere=everywhere)

    @command("moderation", "timeout", "target", "minutes", "reason", "everywhere")
    async def timeout(
        self,
        interaction: Interaction,
        target: Target,
        minutes: Range[int, 1, MAX_MINUTES],
        reason: Reason = "",
        everywhere: bool = False,
    ) -> None:
        """Ban a user or a role from the bot for a time."""
        await self._restrict(
            interaction, Effect.TIMEOUT, target, reason, everywhere=everywhere, minutes=minutes
        )

    @command("moderation", "allow", "target", "reason", "everywhere")
    async def allow(
        self,
        interaction: Interaction,
        target: Target,
        reason: Reason = "",
        everywhere: bool = False,
    ) -> None:
        """Put a user or a role on the allow list."""
        await self._restrict(interaction, Effect.ALLOW, target, reason, everywhere=everywhere)

    @command("moderation", "unban", "target", "reason", "everywhere")
    async def unban(
        self,
        interaction: Interaction,
        target: Target,
        reason: Reason = "",
        everywhere: bool = False,
    ) -> None:
        """End a ban or a timeout."""
        await self._lift(interaction, ActionKind.UNBAN, target, reason, everywhere=everywhere)

    @command("moderation", "disallow", "target", "reason", "everywhere")
    async def disallow(
        self,
        interaction: Interaction,
        target: Target,
        reason: Reason = "",
        everywhere: bool = False,
    ) -> None:
        """Take a user or a role off the allow list."""
        await self._lift(interaction, ActionKind.DISALLOW, target, reason, everywhere=everywhere)

    @command("moderation", "list")
    async def list(self, interaction: Interaction) -> None:
        """Show the server's bans, timeouts and allow list."""
        assert interaction.guild_id is not None
        lists = self.bot.services.moderation.lists
        place = Place(interaction.guild_id, 0)
        entries = [
            entry
            for entry in await lists.restrictions(place)
            if entry.guild_id == interaction.guild_id
        ]
        lines = []
        for entry in entries[:LISTED]:
            mention = f"<@{'&' if entry.subject is Subject.ROLE else ''}{entry.subject_id}>"
            until = f" <t:{int(entry.until)}:R>" if entry.until else ""
            effect = translate(interaction.locale, f"moderation.effect.{entry.effect}")
            lines.append(f"- {mention}: {effect}{until}")
        if len(entries) > LISTED:
            left = len(entries) - LISTED
            lines.append(translate(interaction.locale, "moderation.more", count=left))
        empty = translate(interaction.locale, "moderation.list.empty")
        await reply_privately(interaction, "\n".join(lines) or empty)

    @command("moderation", "export")
    async def export(self, interaction: Interaction) -> None:
        """Send the server's whole record as a JSON file."""
        assert interaction.guild_id is not None
        await interaction.response.defer(thinking=True, ephemeral=True)
        moderation = self.bot.services.moderation
        guild_id = interaction.guild_id
        place = Place(guild_id, 0)
        record: dict[str, Any] = {
            "cases": [asdict(case) for case in await moderation.cases.cases(guild_id)],
            "actions": [asdict(action) for action in await moderation.cases.actions(guild_id)],
            "restrictions": [
                asdict(entry)
                for entry in await moderation.lists.restrictions(place)
                if entry.guild_id == guild_id
            ],
            "rules": [
                asdict(rule)
                for rule in await moderation.lists.rules(place)
                if rule.guild_id == guild_id
            ],
            "settings": asdict(await moderation.lists.policy(guild_id)),
        }
        text = json.dumps(record, indent=2, ensure_ascii=False, default=bytes.hex)
        file = discord.File(io.BytesIO(text.encode()), "moderation.json")
        await interaction.edit_original_response(
            content=translate(interaction.locale, "moderation.exported"), attachments=[file]
        )

    async def _restrict(
        self,
        interaction: Interaction,
        effect: Effect,
        target: Target,
        reason: str,
        *,
        everywhere: bool,
        minutes: int | None = None,
    ) -> None:
        by = await moderator(interaction, everywhere=everywhere)
        await self.bot.services.moderator_actions.restrict(
            by,
            effect,
            _subject(target),
            target.id,
            reason=reason,
            seconds=None if minutes is None else minutes * 60,
        )
        await reply_privately(
            interaction,
            translate(interaction.locale, f"moderation.{effect}.done", target=target.mention),
        )

    async def _lift(
        self,
        interaction: Interaction,
        kind: ActionKind,
        target: Target,
        reason: str,
        *,
        everywhere: bool,
    ) -> None:
        by = await moderator(interaction, everywhere=everywhere)
        actions = self.bot.services.moderator_actions
        if not await actions.lift(by, kind, _subject(target), target.id, reason):
            raise NotListed(target=target.mention)
        await reply_privately(
            interaction,
            translate(interaction.locale, f"moderation.{kind}.done", target=target.mention),
        )


def _subject(target: Target) -> Subject:
    return Subject.ROLE if isinstance(target, discord.Role) else Subject.USER
