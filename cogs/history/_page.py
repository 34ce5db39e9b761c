"""Pages of `/history` and `/favourites`."""

from __future__ import annotations

import asyncio
import io
from enum import StrEnum

import discord

from bot.client import RedrawBot, Services
from bot.errors import StoredPictureMissing
from bot.i18n.translate import translate
from bot.images.compose import thumbnail
from bot.images.encode import encode
from bot.jobs.failures import JobFailure
from bot.jobs.job import Job, JobState
from bot.store.store import Store
from cogs.shared.access import AccessRule, Decision, decide
from cogs.shared.channel_facts import job_facts
from cogs.shared.guard import PersistentItem, SentComponent
from cogs.shared.job_buttons import Action, JobButton, rows
from cogs.shared.text import plain, settings_text

Interaction = discord.Interaction[RedrawBot]

# A message holds 40 components; an entry takes seven, the title and the page buttons four.
# https://discord.com/developers/docs/components/reference#component-limits
ENTRIES_PER_PAGE = 5
THUMBNAIL_SIDE = 160
PROMPT_CHARACTERS = 200
# An upload limit far above the size of a thumbnail.
THUMBNAIL_BYTES = 2**20


class JobList(StrEnum):
    """The lists that have pages. The values are in the custom ids of sent messages."""

    HISTORY = "page"
    FAVOURITES = "favourites"

    def heading(self, locale: str, page: int, pages: int) -> str:
        """The title of a page; `page` counts from 0."""
        key = "history.title" if self is JobList.HISTORY else "favourites.title"
        return translate(locale, key, page=page + 1, pages=pages)

    def empty(self, locale: str) -> str:
        """The text of an empty list."""
        key = "history.empty" if self is JobList.HISTORY else "favourites.empty"
        return translate(locale, key)

    async def jobs(self, store: Store, user_id: int) -> list[Job]:
        """The user's own finished jobs, or their favourites; newest first."""
        if self is JobList.HISTORY:
            jobs = await store.jobs_of(user_id)
        else:
            found = [await store.job(job_id) for job_id in await store.favourites.of(user_id)]
            jobs = [job for job in found if job is not None]
        # The picture of a part is a question to the user, not a result.
        return [job for job in jobs if job.state is JobState.DELIVERED and job.layout != "part"]


class _Button(SentComponent, discord.ui.Button[discord.ui.LayoutView]):
    pass


class TurnPage(PersistentItem, template=r"redraw:(?P<list>page|favourites):(?P<page>\d{1,4})"):
    """Replaces the shown page of a list by another one."""

    async def act(self, interaction: Interaction) -> None:
        """Show the page in the same message."""
        await interaction.response.defer()
        shown, page = JobList(self.match["list"]), int(self.match["page"])
        view, files = await draw_page(interaction, shown, page)
        await interaction.edit_original_response(view=view, attachments=files)


async def draw_page(
    interaction: Interaction, shown: JobList, page: int
) -> tuple[discord.ui.LayoutView, list[discord.File]]:
    """Draw one page of a list.

    Pictures that the user may not see in this channel have no thumbnail.
    `page` counts from 0; a number past the end gives the last page.
    """
    services = interaction.client.services
    locale = str(interaction.locale)
    jobs = await shown.jobs(services.store, interaction.user.id)
    pages = max(1, -(-len(jobs) // ENTRIES_PER_PAGE))
    page = min(page, pages - 1)
    view = discord.ui.LayoutView(timeout=None)
    title = shown.heading(locale, page, pages) if jobs else shown.empty(locale)
    view.add_item(discord.ui.TextDisplay(title))
    files = []
    for job in jobs[page * ENTRIES_PER_PAGE : (page + 1) * ENTRIES_PER_PAGE]:
        visible = decide(AccessRule.RESULT, await job_facts(interaction, job)) is Decision.ALLOWED
        own = job.user_id == interaction.user.id
        text = (
            _describe(services, job, locale)
            if visible or own
            else translate(locale, "favourites.hidden")
        )
        data = await _thumbnail(interaction, job) if visible else None
        if data is None:
            view.add_item(discord.ui.TextDisplay(text))
        else:
            file = discord.File(io.BytesIO(data), f"thumbnail-{job.id}.png", spoiler=job.spoiler)
            files.append(file)
            picture = discord.ui.Thumbnail[discord.ui.LayoutView](file, spoiler=job.spoiler)
            view.add_item(discord.ui.Section(text, accessory=picture))
        actions = (Action.SHOW, Action.USE, Action.FAVOURITE)
        for row in rows([JobButton(action, job) for action in actions]):
            view.add_item(row)
    if pages > 1:
        turn = discord.ui.ActionRow[discord.ui.LayoutView]()
        for key, other in (("history.newer", page - 1), ("history.older", page + 1)):
            button = _Button(
                label=translate(locale, key),
                custom_id=f"redraw:{shown}:{max(0, other)}",
                disabled=not 0 <= other < pages,
            )
            turn.add_item(button)
        view.add_item(turn)
    return view, files


def _describe(services: Services, job: Job, locale: str) -> str:
    prompt = plain(job.shown_prompt, PROMPT_CHARACTERS)
    return translate(
        locale,
        "history.entry",
        prompt=f"**{prompt}**",
        settings=settings_text(job, locale, services.models.options_of(job)),
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
