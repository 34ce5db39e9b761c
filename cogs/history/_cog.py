"""`/history`, `/favourites` and `/show`."""

from __future__ import annotations

import discord
from discord import app_commands
from discord.ext import commands

from bot.client import RedrawBot
from bot.i18n.translate import localized_name
from cogs.history._page import JobList, draw_page
from cogs.history._show import show_job
from cogs.shared.access import AccessRule
from cogs.shared.channel_facts import check_access
from cogs.shared.errors import JobNotFound
from cogs.shared.open_button import OpenAction, Target

Interaction = discord.Interaction[RedrawBot]

# https://discord.com/developers/docs/interactions/application-commands#autocomplete
MAX_CHOICES = 25
# How many of the user's newest jobs the autocomplete searches.
SEARCHED_JOBS = 100


class History(commands.Cog):
    """`/history` and `/favourites` have pages; `/show` shows one picture, also of others."""

    def __init__(self, bot: RedrawBot) -> None:
        self.bot = bot

    @app_commands.command(
        name=localized_name("history.command"), description=localized_name("history.description")
    )
    async def history(self, interaction: Interaction) -> None:
        """Show the first page of the user's own pictures."""
        await _reply(interaction, JobList.HISTORY)

    @app_commands.command(
        name=localized_name("favourites.command"),
        description=localized_name("favourites.description"),
    )
    async def favourites(self, interaction: Interaction) -> None:
        """Show the first page of the pictures that the user marked with the star."""
        await _reply(interaction, JobList.FAVOURITES)

    @app_commands.command(
        name=localized_name("show.command"), description=localized_name("show.description")
    )
    @app_commands.describe(id=localized_name("show.option.id"))
    async def show(
        self,
        interaction: Interaction,
        # The option's name in Discord.
        id: app_commands.Range[str, 16, 16] | None = None,  # noqa: A002
    ) -> None:
        """Show one job by its id, or the user's newest one."""
        if id is None:
            jobs = await JobList.HISTORY.jobs(self.bot.services.store, interaction.user.id)
            job = jobs[0] if jobs else None
        else:
            job = await self.bot.services.store.job(id)
        if job is None:
            raise JobNotFound
        await check_access(interaction, job, AccessRule.RESULT)
        await show_job(interaction, job)

    @show.autocomplete("id")
    async def _own_jobs(
        self, interaction: Interaction, typed: str
    ) -> list[app_commands.Choice[str]]:
        jobs = await self.bot.services.store.jobs_of(interaction.user.id, limit=SEARCHED_JOBS)
        wanted = typed.lower()
        return [
            app_commands.Choice(name=f"{job.shown_prompt[:80]} ({job.id})", value=job.id)
            for job in jobs
            if job.layout != "part"
            if wanted in job.id or wanted in job.shown_prompt.lower()
        ][:MAX_CHOICES]


class OpenHistory(OpenAction):
    """Show the first page of the user's own pictures, for the button of `/help`."""

    target = Target.HISTORY

    async def act(self, interaction: Interaction) -> None:
        """Reply with the page."""
        await _reply(interaction, JobList.HISTORY)


async def _reply(interaction: Interaction, shown: JobList) -> None:
    await interaction.response.defer(thinking=True, ephemeral=True)
    view, files = await draw_page(interaction, shown, 0)
    await interaction.edit_original_response(view=view, attachments=files)
