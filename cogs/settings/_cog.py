"""`/settings`: the panel, limits by role, and the settings as a file."""

from __future__ import annotations

import io

import discord
from discord import app_commands
from discord.app_commands import Range
from discord.ext import commands

from bot.client import RedrawBot, Services
from bot.i18n.translate import localized_name, translate
from bot.jobs.budgets import EVERYONE, MAX_PICTURES, RoleLimits
from bot.moderation.actions import Moderator
from bot.permissions import check_can_post
from bot.replies import reply_privately
from cogs.settings._access import ManagersOnly
from cogs.settings._bounds import MAX_COOLDOWN_SECONDS, MAX_STEPS, SECONDS_A_DAY
from cogs.settings._errors import Problem, SettingsFileInvalid
from cogs.settings._file import MAX_BYTES, read_settings_file, settings_file
from cogs.settings._panel import show_panel
from cogs.shared.commands import command
from cogs.shared.errors import AttachmentGone

Interaction = discord.Interaction[RedrawBot]


@app_commands.default_permissions(manage_guild=True)
@app_commands.guild_only()
class Settings(
    ManagersOnly,
    commands.GroupCog,
    group_name=localized_name("settings.command"),
    group_description=localized_name("settings.description"),
):
    """`/settings`, for members with Manage Server."""

    def __init__(self, bot: RedrawBot) -> None:
        self.bot = bot

    @command("settings", "panel")
    async def panel(self, interaction: Interaction) -> None:
        """Show all settings, to be changed."""
        assert interaction.guild is not None
        await show_panel(interaction, interaction.guild)

    @command("settings", "gallery")
    @app_commands.describe(channel=localized_name("settings.gallery.option.channel"))
    async def gallery(
        self,
        interaction: Interaction,
        channel: discord.TextChannel | None = None,
    ) -> None:
        """Set the gallery's channel, or none.

        Raises:
            MissingPermissions: the bot could not post there.
        """
        assert interaction.guild_id is not None
        if channel is not None:
            check_can_post(channel)
        chosen = channel.id if channel else None
        await self.bot.services.store.guild_settings.set_gallery(interaction.guild_id, chosen)
        sentence = (
            translate(interaction.locale, "settings.gallery.set", channel=channel.mention)
            if channel
            else translate(interaction.locale, "settings.gallery.unset")
        )
        await reply_privately(interaction, sentence)

    @command(
        "settings",
        "limits",
        "role",
        "seconds_a_day",
        "cooldown_seconds",
        "steps",
        "pictures",
        "megapixels",
        "models",
        "private",
    )
    async def limits(
        self,
        interaction: Interaction,
        role: discord.Role,
        seconds_a_day: Range[int, 0, SECONDS_A_DAY] | None = None,
        cooldown_seconds: Range[int, 0, MAX_COOLDOWN_SECONDS] | None = None,
        steps: Range[int, 1, MAX_STEPS] | None = None,
        pictures: Range[int, 1, MAX_PICTURES] | None = None,
        megapixels: Range[float, 0.01, 100.0] | None = None,
        models: Range[str, 1, 500] | None = None,
        private: bool | None = None,
    ) -> None:
        """Replace the limits of a role, or of everybody; without any option, remove them.

        Raises:
            ModelNotOffered: one of `models` is not configured.
        """
        guild = interaction.guild
        assert guild is not None
        names = None if models is None else _offered(self.bot.services, models)
        chosen = RoleLimits(
            seconds_a_day=seconds_a_day,
            cooldown_seconds=cooldown_seconds,
            steps=steps,
            pictures=pictures,
            megapixels=megapixels,
            models=names,
            private=private,
        )
        settings = self.bot.services.store.guild_settings
        key = EVERYONE if role.is_default() else role.id
        await settings.change_limits(guild.id, key, lambda _stored: chosen)
        await show_panel(interaction, guild)

    @command("settings", "export")
    async def export(self, interaction: Interaction) -> None:
        """Send the settings as a JSON file."""
        assert interaction.guild_id is not None
        services = self.bot.services
        text = settings_file(
            await services.store.guild_settings.options(interaction.guild_id),
            await services.moderation.lists.policy(interaction.guild_id),
        )
        await interaction.response.send_message(
            translate(interaction.locale, "settings.exported"),
            file=discord.File(io.BytesIO(text.encode()), "settings.json"),
            ephemeral=True,
        )

    @command("settings", "import", "file")
    async def import_(self, interaction: Interaction, file: discord.Attachment) -> None:
        """Replace all settings by those of an exported file.

        Raises:
            SettingsFileInvalid: the file cannot be used; nothing is changed.
            AttachmentGone: Discord does not deliver the file.
        """
        guild = interaction.guild
        assert guild is not None
        await interaction.response.defer(thinking=True, ephemeral=True)
        if file.size > MAX_BYTES:
            too_large = Problem("settings.file.large", kib=MAX_BYTES // 1024)
            raise SettingsFileInvalid(problem=too_large)
        try:
            data = await file.read()
        except discord.HTTPException as error:
            raise AttachmentGone from error
        services = self.bot.services
        settings = read_settings_file(data, services, guild)
        policy = settings.policy(guild.id)
        await services.store.guild_settings.save(
            guild.id,
            settings.settings,
            also=lambda: services.moderation.lists.write_policy(policy),
        )
        by = Moderator(guild.id, interaction.user.id)
        await services.moderator_actions.record_policy(by, policy)
        await interaction.edit_original_response(
            content=translate(interaction.locale, "settings.imported")
        )


def _offered(services: Services, models: str) -> tuple[str, ...]:
    """The configured models that a list with commas names."""
    # A text that names none is refused as a name, not stored as an empty list.
    names = [part.strip() for part in models.split(",") if part.strip()] or [models]
    return tuple(dict.fromkeys(services.models.get(name).name for name in names))
