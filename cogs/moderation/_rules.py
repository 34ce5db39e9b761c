"""`/moderation rules`: the words and expressions that prompts may not contain."""

from __future__ import annotations

import discord
from discord import app_commands
from discord.app_commands import Range

from bot.i18n.translate import localized_name, translate
from bot.moderation.detectors.prompt_rules import (
    MAX_PATTERN_CHARACTERS,
    InvalidPattern,
    Rule,
    RuleKind,
)
from bot.moderation.model import Place
from bot.replies import reply_privately
from cogs.moderation._errors import BadRule, NoSuchRule, RuleExists
from cogs.moderation._who import Interaction, ModeratorsOnly, moderator
from cogs.shared.commands import command

# A message holds 2,000 characters.
LISTED_CHARACTERS = 1800


class RulesGroup(ModeratorsOnly, app_commands.Group):
    """Changing rules needs Manage Server; every moderator can list and try them."""

    def __init__(self) -> None:
        super().__init__(
            name=localized_name("moderation.rules.command"),
            description=localized_name("moderation.rules.description"),
        )

    @command("moderation", "rules.add", "kind", "pattern", "everywhere")
    async def add(
        self,
        interaction: Interaction,
        kind: RuleKind,
        pattern: Range[str, 1, MAX_PATTERN_CHARACTERS],
        everywhere: bool = False,
    ) -> None:
        """Add a rule."""
        by = await moderator(interaction, everywhere=everywhere, manager=True)
        try:
            added = await interaction.client.services.moderator_actions.add_rule(by, kind, pattern)
        except InvalidPattern as error:
            raise BadRule(problem=str(error)) from error
        if not added:
            raise RuleExists
        await reply_privately(interaction, translate(interaction.locale, "moderation.rules.added"))

    @command("moderation", "rules.remove", "number", "everywhere")
    async def remove(
        self, interaction: Interaction, number: Range[int, 1], everywhere: bool = False
    ) -> None:
        """Remove a rule."""
        by = await moderator(interaction, everywhere=everywhere, manager=True)
        if not await interaction.client.services.moderator_actions.remove_rule(by, number):
            raise NoSuchRule(number=number)
        await reply_privately(
            interaction, translate(interaction.locale, "moderation.rules.removed")
        )

    @command("moderation", "rules.list")
    async def list(self, interaction: Interaction) -> None:
        """Show the server's rules. The operator's are not shown."""
        assert interaction.guild_id is not None
        place = Place(interaction.guild_id, interaction.channel_id or 0)
        rules = await interaction.client.services.moderation.lists.rules(place)
        own = [rule for rule in rules if rule.guild_id == interaction.guild_id]
        empty = translate(interaction.locale, "moderation.rules.empty")
        await reply_privately(interaction, _listed(own, str(interaction.locale)) or empty)

    @command("moderation", "rules.test", "text")
    async def test(self, interaction: Interaction, text: Range[str, 1, 1000]) -> None:
        """Show which rules a prompt would break. Nothing is recorded."""
        assert interaction.guild_id is not None
        await interaction.response.defer(thinking=True, ephemeral=True)
        place = Place(interaction.guild_id, interaction.channel_id or 0)
        found = await interaction.client.services.moderation.find_rules(place, [text])
        own = [rule for rule in found if rule.guild_id == interaction.guild_id]
        lines = [_listed(own, str(interaction.locale))] if own else []
        if len(own) < len(found):
            lines.append(translate(interaction.locale, "moderation.rules.operator"))
        empty = translate(interaction.locale, "moderation.rules.passes")
        await interaction.edit_original_response(content="\n".join(lines) or empty)


def _listed(rules: list[Rule], locale: str) -> str:
    lines: list[str] = []
    for index, rule in enumerate(rules):
        kind = translate(locale, f"moderation.kind.{rule.kind}")
        line = f"{rule.id}. {kind}: {discord.utils.escape_markdown(rule.pattern)}"
        if sum(map(len, lines)) + len(line) > LISTED_CHARACTERS:
            lines.append(translate(locale, "moderation.more", count=len(rules) - index))
            break
        lines.append(line)
    return "\n".join(lines)
