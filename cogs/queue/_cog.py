"""`/queue` shows the queue, `/quota` the user's budget; `/cancel` ends the user's jobs, or all
that a moderator may end."""

from __future__ import annotations

from collections.abc import Sequence

import discord
from discord import app_commands
from discord.ext import commands

from bot.client import RedrawBot, Services
from bot.i18n.durations import duration
from bot.i18n.translate import localized_name, translate
from bot.jobs.job import Job
from bot.replies import reply_privately
from cogs.queue._quota import quota_text
from cogs.shared.access import AccessRule, Decision, decide
from cogs.shared.channel_facts import job_facts
from cogs.shared.text import plain, position_text
from inference import ModelStatus

# How many of the user's waiting jobs are listed; a message holds 2,000 characters.
LISTED_JOBS = 10
PROMPT_CHARACTERS = 80


class Queue(commands.Cog):
    """`/queue`, `/quota` and `/cancel`."""

    def __init__(self, bot: RedrawBot) -> None:
        self.bot = bot

    @app_commands.command(
        name=localized_name("queue.command"), description=localized_name("queue.description")
    )
    async def queue(self, interaction: discord.Interaction[RedrawBot]) -> None:
        """Show how many jobs run and wait, and the positions of the user's own."""
        services = self.bot.services
        locale = str(interaction.locale)
        positions = services.runner.positions()
        lines = [
            translate(
                locale,
                "queue.summary",
                running=len(services.runner.running),
                waiting=len(positions),
                model=services.model.name,
                state=translate(locale, f"queue.state.{services.inference.status.state}"),
            )
        ]
        lines += [_model(locale, model) for model in services.inference.status.models]
        lines += [
            translate(locale, _state_key(services, job), prompt=_short(job))
            for job in services.runner.running
            if job.user_id == interaction.user.id
        ]
        own = [job for job in services.runner.queue.order() if job.user_id == interaction.user.id]
        for job in own[:LISTED_JOBS]:
            position = position_text(locale, positions[job.id])
            line = translate(locale, "queue.waiting", prompt=_short(job), position=position)
            price = services.runner.accounting.price(job)
            if price is not None:
                line += translate(locale, "queue.price", price=duration(locale, price))
            lines.append(line)
        await reply_privately(interaction, "\n".join(lines))

    @app_commands.command(
        name=localized_name("quota.command"), description=localized_name("quota.description")
    )
    async def quota(self, interaction: discord.Interaction[RedrawBot]) -> None:
        """Show the user's budget, and what the user's roles allow here."""
        text = await quota_text(
            self.bot.services, interaction.user, interaction.guild_id, str(interaction.locale)
        )
        await reply_privately(interaction, text)

    @app_commands.command(
        name=localized_name("cancel.command"), description=localized_name("cancel.description")
    )
    @app_commands.describe(everyone=localized_name("cancel.option.everyone"))
    async def cancel(
        self, interaction: discord.Interaction[RedrawBot], everyone: bool = False
    ) -> None:
        """End all jobs of the user; with `everyone`, also those that the user may manage."""
        await interaction.response.defer(ephemeral=True, thinking=True)
        runner = self.bot.services.runner
        jobs = [*runner.running, *runner.queue.order()]
        chosen = [job for job in jobs if job.user_id == interaction.user.id]
        if everyone:
            chosen += await self._moderated(interaction, jobs)
        ended = [job for job in chosen if await runner.cancel(job.id)]
        locale = interaction.locale
        await interaction.edit_original_response(
            content=translate(
                locale, "cancel.done", pictures=sum(len(job.variants) for job in ended)
            )
            if ended
            else translate(locale, "cancel.nothing")
        )

    async def _moderated(
        self, interaction: discord.Interaction[RedrawBot], jobs: Sequence[Job]
    ) -> list[Job]:
        """The jobs of other users in this server that the user may cancel."""
        decisions: dict[tuple[int, bool], Decision] = {}
        chosen = []
        for job in jobs:
            destination = job.destination
            if job.user_id == interaction.user.id or destination.guild_id != interaction.guild_id:
                continue
            # Jobs of others in the same channel have the same answer, which takes a request.
            key = (destination.channel_id, destination.private)
            if key not in decisions:
                facts = await job_facts(interaction, job)
                decisions[key] = decide(AccessRule.OWNER_OR_MODERATOR, facts)
            if decisions[key] is Decision.ALLOWED:
                chosen.append(job)
        return chosen


def _state_key(services: Services, job: Job) -> str:
    """The key of the line of a running job."""
    waits = services.runner.estimates.waits_for_model(job)
    return "queue.loading" if waits else "queue.running"


def _short(job: Job) -> str:
    return plain(job.shown_prompt, PROMPT_CHARACTERS)


def _model(locale: str, model: ModelStatus) -> str:
    """The line of one of several models."""
    state = translate(locale, f"models.state.{model.state}")
    return translate(locale, "queue.model", model=model.name, state=state)
