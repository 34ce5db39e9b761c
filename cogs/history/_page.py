"""Pages of `/history`: a user's own finished jobs, newest first."""

from __future__ import annotations

import asyncio
import io
import re
from typing import Any, Self

import discord

from bot.client import RedrawBot
from bot.commands.allowed_places import check_place
from bot.commands.command_tree import handle_error
from bot.errors import StoredPictureMissing
from bot.i18n.translate import translate
from bot.images.compose import thumbnail
from bot.images.encode import encode
from bot.jobs.failures import JobFailure
from bot.jobs.job import Job, JobState
from cogs.shared.access import AccessRule, Decision, decide
from cogs.shared.channel_facts import job_facts
from cogs.shared.job_buttons import Action, JobButton, rows
from cogs.shared.text import plain

Interaction = discord.Interaction[RedrawBot]

# A message holds 40 components; an entry takes six.
# https://discord.com/developers/docs/components/reference#component-limits
ENTRIES_PER_PAGE = 5
THUMBNAIL_SIDE = 160
PROMPT_CHARACTERS = 200
# An upload limit far above the size of a thumbnail.
THUMBNAIL_BYTES = 2**20


class PageButton(
    discord.ui.DynamicItem[discord.ui.Button[discord.ui.LayoutView]],
    template=r"redraw:page:(?P<page>\d{1,4})",
):
    """Replaces the shown page of the history by another one."""

    def __init__(self, page: int, label: str = "page", *, disabled: bool = False) -> None:
        self.page = page
        super().__init__(
            discord.ui.Button(
                label=label, custom_id=f"redraw:page:{max(0, page)}", disabled=disabled
            )
        )

    @classmethod
    async def from_custom_id(
        cls,
        interaction: discord.Interaction[Any],
        item: discord.ui.Item[Any],
        match: re.Match[str],
        /,
    ) -> Self:
        """Called by discord.py for every click on a button with a matching custom id."""
        return cls(int(match["page"]))

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        """Show the page in the same message."""
        try:
            check_place(interaction.client.services.settings, interaction.guild_id)
            await interaction.response.defer()
            view, files = await draw_page(interaction, self.page)
            await interaction.edit_original_response(view=view, attachments=files)
        except Exception as error:  # noqa: BLE001 - the one handler decides what the user reads
            await handle_error(interaction, error)


async def draw_page(
    interaction: Interaction, page: int
) -> tuple[discord.ui.LayoutView, list[discord.File]]:
    """Draw one page of the user's history.

    Pictures of age-restricted channels have no thumbnail in other channels.
    `page` counts from 0; a number past the end gives the last page.
    """
    services = interaction.client.services
    locale = str(interaction.locale)
    jobs = [
        job
        for job in await services.store.jobs_of(interaction.user.id)
        if job.state is JobState.DELIVERED
    ]
    pages = max(1, -(-len(jobs) // ENTRIES_PER_PAGE))
    page = min(page, pages - 1)
    view = discord.ui.LayoutView(timeout=None)
    title = (
        translate(locale, "history.title", page=page + 1, pages=pages)
        if jobs
        else translate(locale, "history.empty")
    )
    view.add_item(discord.ui.TextDisplay(title))
    files = []
    for job in jobs[page * ENTRIES_PER_PAGE : (page + 1) * ENTRIES_PER_PAGE]:
        text = _describe(job, locale)
        visible = decide(AccessRule.RESULT, await job_facts(interaction, job)) is Decision.ALLOWED
        data = await _thumbnail(interaction, job) if visible else None
        if data is None:
            view.add_item(discord.ui.TextDisplay(text))
        else:
            file = discord.File(io.BytesIO(data), f"thumbnail-{job.id}.png", spoiler=job.spoiler)
            files.append(file)
            picture = discord.ui.Thumbnail[discord.ui.LayoutView](file, spoiler=job.spoiler)
            view.add_item(discord.ui.Section(text, accessory=picture))
        for row in rows([JobButton(Action.SHOW, job), JobButton(Action.USE, job)]):
            view.add_item(row)
    if pages > 1:
        turn = discord.ui.ActionRow[discord.ui.LayoutView]()
        turn.add_item(PageButton(page - 1, translate(locale, "history.newer"), disabled=page == 0))
        last = page == pages - 1
        turn.add_item(PageButton(page + 1, translate(locale, "history.older"), disabled=last))
        view.add_item(turn)
    return view, files


def _describe(job: Job, locale: str) -> str:
    prompt = plain(job.shown_prompt, PROMPT_CHARACTERS)
    variant = job.variants[0]
    return translate(
        locale,
        "history.entry",
        prompt=f"**{prompt}**",
        strength=f"{variant.strength:g}",
        seed=variant.seed,
        width=job.width,
        height=job.height,
        when=f"<t:{int(job.created_at)}:R>",
    )


async def _thumbnail(interaction: Interaction, job: Job) -> bytes | None:
    """The first result as a small file; None if it is not stored or may not be posted here."""
    result = job.variants[0].result
    if result is None:
        return None
    services = interaction.client.services
    try:
        picture = await services.store.pictures.get(result)
        await services.checks.check_post(picture, interaction.guild_id, interaction.channel_id or 0)
    except (StoredPictureMissing, JobFailure):
        return None
    small = await asyncio.to_thread(thumbnail, picture, THUMBNAIL_SIDE)
    return (await asyncio.to_thread(encode, small, limit_bytes=THUMBNAIL_BYTES)).data
