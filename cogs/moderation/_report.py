"""*Report*: tells the moderators about a result; as a button and in the message's menu."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable
from typing import Any, ClassVar

import discord
from discord import app_commands
from discord.ext import commands

from bot.client import RedrawBot, Services
from bot.errors import StoredPictureMissing
from bot.i18n.translate import localized_name, translate
from bot.images.picture import Picture
from bot.jobs.job import Job, JobState
from bot.moderation.place import place_of_job
from bot.replies import reply_privately
from cogs.moderation._errors import NothingToReport
from cogs.shared.access import AccessRule
from cogs.shared.errors import JobNotFound
from cogs.shared.job_buttons import Action, Interaction, JobAction, check_lists

_JOB_BUTTON = re.compile(r"redraw:[a-z]+:([0-9a-f]{16}):\d(:\d+)?")


class Report(JobAction):
    """The button under a result in the gallery."""

    action: ClassVar[Action] = Action.REPORT
    access: ClassVar[AccessRule] = AccessRule.MESSAGE
    refused_to_banned: ClassVar[bool] = True

    async def run(self, interaction: Interaction, job: Job) -> None:
        """Record the report."""
        await report(interaction, job)

    async def run_without_job(self, interaction: Interaction) -> None:
        """After the retention time there is nothing that could be shown to the moderators.

        Raises:
            JobNotFound: always.
        """
        raise JobNotFound


class ReportMenu(commands.Cog):
    """The same in the menu of every message: *Apps*, *Report picture*."""

    def __init__(self, bot: RedrawBot) -> None:
        self.bot = bot
        self._menu = app_commands.ContextMenu(
            name=localized_name("moderation.report.menu"), callback=self._report_message
        )

    async def cog_load(self) -> None:
        """A context menu is not part of a cog by itself."""
        self.bot.tree.add_command(self._menu)

    async def cog_unload(self) -> None:
        """Remove it with the cog."""
        self.bot.tree.remove_command(self._menu.name, type=self._menu.type)

    async def _report_message(self, interaction: Interaction, message: discord.Message) -> None:
        """Find the job by the buttons of the message.

        Raises:
            ModerationRefusal: the user may not use the bot here.
            NothingToReport: it is not a message of the bot with job buttons.
        """
        await check_lists(interaction)
        job_id = _job_id(message) if message.author == self.bot.user else None
        job = await self.bot.services.store.job(job_id) if job_id else None
        if job is None or job.state is not JobState.DELIVERED:
            raise NothingToReport
        await report(interaction, job)


async def report(interaction: Interaction, job: Job) -> None:
    """Record a user's report of a result and thank them; a second one changes nothing.

    The sources of a private job were shown to its owner only; moderators do not see them either.
    """
    await interaction.response.defer(thinking=True, ephemeral=True)
    services = interaction.client.services
    case, new = await services.moderation.report(
        place_of_job(interaction.client, job),
        interaction.user.id,
        job_id=job.id,
        user_id=job.user_id,
        prompt=job.shown_prompt,
        sources=[] if job.destination.private else await _stored(services, job.sources),
        results=await _stored(services, [variant.result for variant in job.variants]),
    )
    if new and case.reports > 1:
        await services.moderation_log.refresh(case.id)
    await reply_privately(interaction, translate(interaction.locale, "moderation.report.done"))


async def _stored(services: Services, names: Iterable[str | None]) -> list[Picture]:
    """The pictures of these names that are still stored."""
    found = []
    for name in names:
        with contextlib.suppress(StoredPictureMissing):
            found.append(await services.store.pictures.get(name or ""))
    return found


def _job_id(message: discord.Message) -> str | None:
    view = discord.ui.LayoutView.from_message(message)
    for item in view.walk_children():
        custom_id: Any = getattr(item, "custom_id", None)
        if isinstance(custom_id, str) and (found := _JOB_BUTTON.fullmatch(custom_id)):
            return found[1]
    return None
