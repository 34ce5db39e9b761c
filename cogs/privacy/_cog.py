"""`/privacy`: exports or deletes the stored data of a user."""

from __future__ import annotations

import asyncio
import dataclasses
import io
import json
import zipfile

import discord
from discord import app_commands
from discord.ext import commands

from bot.client import RedrawBot
from bot.errors import StoredPictureMissing
from bot.i18n.translate import localized_name, translate
from bot.jobs.job import Job
from bot.store.store import Store


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
        """End the user's jobs and delete all of their stored data."""
        await interaction.response.defer(ephemeral=True, thinking=True)
        count = await self.bot.services.runner.erase(interaction.user.id)
        await interaction.edit_original_response(
            content=translate(interaction.locale, "privacy.deleted", count=count)
        )

    @app_commands.command(
        name=localized_name("privacy.export.command"), description=localized_name("privacy.export")
    )
    async def export(self, interaction: discord.Interaction[RedrawBot]) -> None:
        """Send the user's stored data as an archive."""
        await interaction.response.defer(ephemeral=True, thinking=True)
        store = self.bot.services.store
        jobs = await store.jobs_of(interaction.user.id)
        if not jobs:
            await interaction.edit_original_response(
                content=translate(interaction.locale, "privacy.nothing")
            )
            return
        archive = await asyncio.to_thread(_archive, store, jobs, interaction.filesize_limit)
        await interaction.edit_original_response(
            content=translate(interaction.locale, "privacy.exported", count=len(jobs)),
            attachments=[discord.File(io.BytesIO(archive), "redraw.zip")],
        )


def _archive(store: Store, jobs: list[Job], limit: int) -> bytes:
    """A zip file with `jobs.json` and as many pictures, newest first, as fit into `limit` bytes."""
    out = io.BytesIO()
    records = []
    for job in jobs:
        record = dataclasses.asdict(job)
        record["destination"].pop("token")
        records.append(record)
    text = json.dumps(records, indent=2, ensure_ascii=False)
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("jobs.json", text)
        seen: set[str] = set()
        for name in (name for job in jobs for name in sorted(job.pictures)):
            if name in seen:
                continue
            seen.add(name)
            try:
                data = store.pictures.read_file(name)
            except StoredPictureMissing:
                continue
            # The directory at the end of the archive needs the rest.
            if out.tell() + len(data) > limit * 0.95:
                break
            archive.writestr(zipfile.ZipInfo(f"pictures/{name}.png"), data)
    return out.getvalue()
