"""`/privacy`: exports or deletes the stored data of a user."""

from __future__ import annotations

import asyncio
import io
import time

import discord
from discord import app_commands
from discord.ext import commands

from bot.client import RedrawBot
from bot.delivery.attachments import REQUEST_BYTES
from bot.i18n.translate import localized_name, translate
from bot.store.ledger import day_of
from bot.store.user_defaults import UserDefaults
from cogs.privacy._archive import Export
from cogs.privacy._delete import ALL_JOBS, confirmation, stored_data


class Privacy(
    commands.GroupCog,
    group_name=localized_name("privacy.command"),
    group_description=localized_name("privacy.description"),
):
    """`/privacy delete` and `/privacy export`."""

    def __init__(self, bot: RedrawBot) -> None:
        self.bot = bot

    @app_commands.command(
        name=localized_name("privacy.delete.command"), description=localized_name("privacy.delete")
    )
    async def delete(self, interaction: discord.Interaction[RedrawBot]) -> None:
        """List the data that would be deleted, and ask."""
        await interaction.response.defer(ephemeral=True, thinking=True)
        data = await stored_data(self.bot.services, interaction.user.id)
        locale = str(interaction.locale)
        if data.empty:
            text = translate(locale, "privacy.nothing_to_delete")
            await interaction.edit_original_response(content=text)
            return
        view = confirmation(data, locale)
        await interaction.edit_original_response(view=view)

    @app_commands.command(
        name=localized_name("privacy.export.command"), description=localized_name("privacy.export")
    )
    async def export(self, interaction: discord.Interaction[RedrawBot]) -> None:
        """Send the user's stored data, in as many archives as the upload limit requires."""
        await interaction.response.defer(ephemeral=True, thinking=True)
        store = self.bot.services.store
        jobs = await store.jobs_of(interaction.user.id, limit=ALL_JOBS)
        cases = await self.bot.services.moderation.cases.of_user(interaction.user.id)
        defaults = await store.user_defaults.of(interaction.user.id)
        favourites = await store.favourites.of(interaction.user.id)
        usage = await store.ledger.usage(day_of(time.time()), interaction.user.id)
        last_requests = await store.ledger.last_requests(interaction.user.id)
        stored = (jobs, cases, favourites, usage, last_requests)
        if not any(stored) and defaults == UserDefaults():
            await interaction.edit_original_response(
                content=translate(interaction.locale, "privacy.nothing")
            )
            return
        limit = min(interaction.filesize_limit, REQUEST_BYTES)
        export = Export(
            store.pictures,
            jobs,
            cases,
            limit,
            defaults=defaults,
            favourites=favourites,
            usage=usage,
            last_requests=last_requests,
        )
        archives = export.archives()
        number = 0
        while archive := await asyncio.to_thread(next, archives, None):
            number += 1
            file = discord.File(io.BytesIO(archive), f"redraw-{number}.zip")
            text = translate(interaction.locale, "privacy.part", number=number)
            await interaction.followup.send(text, file=file, ephemeral=True)
        text = translate(interaction.locale, "privacy.exported", count=len(jobs), parts=number)
        if export.missing:
            text += "\n" + translate(interaction.locale, "privacy.missing", count=export.missing)
        await interaction.followup.send(text, ephemeral=True)
