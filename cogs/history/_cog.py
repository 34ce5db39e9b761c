"""`/history` pages through one's own pictures; `/show` shows one to those who may see it."""

from __future__ import annotations

import asyncio
import io
import re
from typing import Any, Self

import discord
from discord import app_commands
from discord.ext import commands

from bot.client import RedrawBot
from bot.command_tree import handle_error
from bot.i18n.translate import localized_name, translate
from bot.images.compose import thumbnail
from bot.images.encode import encode
from bot.images.picture import Picture
from bot.jobs.job import Job, JobState
from cogs.shared.job_buttons import ASK, JobNotFound, action, button, rows

Interaction = discord.Interaction[RedrawBot]

# A message holds 40 components; each entry takes six.
# https://discord.com/developers/docs/components/reference#component-limits
PER_PAGE = 5
THUMBNAIL = 160
PROMPT_CHARACTERS = 200
# An attached thumbnail of 160 pixels is far below it.
THUMBNAIL_BYTES = 2**20


class PageButton(
    discord.ui.DynamicItem[discord.ui.Button[discord.ui.LayoutView]],
    template=r"redraw:page:(?P<page>\d{1,4})",
):
    """Turns to a page of the history of whoever presses it."""

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
        """Made anew for every click, also after a restart."""
        return cls(int(match["page"]))

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        """Show the page in the same message."""
        try:
            view, files = await page_of(interaction, self.page)
            await interaction.response.edit_message(view=view, attachments=files)
        except Exception as error:  # noqa: BLE001 - the one handler decides what is told
            await handle_error(interaction, error)


async def page_of(
    interaction: Interaction, page: int
) -> tuple[discord.ui.LayoutView, list[discord.File]]:
    """One page of a person's own finished pictures, newest first."""
    services = interaction.client.services
    locale = str(interaction.locale)
    jobs = [
        job
        for job in await services.store.jobs_of(interaction.user.id)
        if job.state is JobState.DELIVERED
    ]
    pages = max(1, -(-len(jobs) // PER_PAGE))
    page = min(page, pages - 1)
    view = discord.ui.LayoutView(timeout=None)
    title = (
        translate(locale, "history.title", page=page + 1, pages=pages)
        if jobs
        else translate(locale, "history.empty")
    )
    view.add_item(discord.ui.TextDisplay(title))
    files = []
    for job in jobs[page * PER_PAGE : (page + 1) * PER_PAGE]:
        text = _entry(job, locale)
        small = await _thumbnail(services.store.pictures.get, job)
        if small is None:
            view.add_item(discord.ui.TextDisplay(text))
        else:
            name = f"thumbnail-{job.id}.png"
            files.append(discord.File(io.BytesIO(small), name))
            picture = discord.ui.Thumbnail[discord.ui.LayoutView](f"attachment://{name}")
            view.add_item(discord.ui.Section(text, accessory=picture))
        for row in rows([button("show", job), button("use", job)]):
            view.add_item(row)
    if pages > 1:
        turn = discord.ui.ActionRow[discord.ui.LayoutView]()
        turn.add_item(PageButton(page - 1, translate(locale, "history.newer"), disabled=page == 0))
        last = page == pages - 1
        turn.add_item(PageButton(page + 1, translate(locale, "history.older"), disabled=last))
        view.add_item(turn)
    return view, files


def _entry(job: Job, locale: str) -> str:
    prompt = discord.utils.escape_markdown(job.prompt[:PROMPT_CHARACTERS])
    variant = job.variants[0]
    return translate(
        locale,
        "history.entry",
        prompt=f"**{prompt}**",
        settings=f"{variant.strength:g} · {variant.seed} · {job.width} × {job.height}",
        when=f"<t:{int(job.created_at)}:R>",
    )


async def _thumbnail(get: Any, job: Job) -> bytes | None:
    name = job.variants[0].result
    if name is None:
        return None
    try:
        picture: Picture = await get(name)
    except FileNotFoundError:
        return None
    small = await asyncio.to_thread(thumbnail, picture, THUMBNAIL)
    return (await asyncio.to_thread(encode, small, limit_bytes=THUMBNAIL_BYTES)).data


async def may_see(interaction: Interaction, job: Job) -> bool:
    """Its owner may; others if they can see the channel it was made in, and it was not private."""
    if interaction.user.id == job.user_id:
        return True
    where = job.destination
    if where.private or where.guild_id is None or where.guild_id != interaction.guild_id:
        return False
    channel = interaction.client.get_channel(where.channel_id)
    if not isinstance(channel, discord.abc.GuildChannel | discord.Thread):
        return False
    if not isinstance(interaction.user, discord.Member):
        return False
    allowed = channel.permissions_for(interaction.user)
    return allowed.view_channel and allowed.read_message_history


@action("show")
async def show_job(interaction: Interaction, job: Job, _number: int) -> None:
    """The job's answer once more, for this person alone.

    Raises:
        JobForgotten: they may not see it, or its pictures are gone.
    """
    if job.state is not JobState.DELIVERED or not await may_see(interaction, job):
        raise JobNotFound
    await interaction.response.defer(thinking=True, ephemeral=True)
    services = interaction.client.services
    try:
        answer = await services.delivery.draw(job)
    except FileNotFoundError as error:
        raise JobNotFound from error
    files = [upload.file() for upload in answer.files]
    await interaction.edit_original_response(view=answer.view, attachments=files)


class History(commands.Cog):
    """`/history` and `/show`."""

    def __init__(self, bot: RedrawBot) -> None:
        self.bot = bot

    @app_commands.command(
        name=localized_name("history.command"), description=localized_name("history.description")
    )
    async def history(self, interaction: Interaction) -> None:
        """The first page."""
        await interaction.response.defer(thinking=True, ephemeral=True)
        view, files = await page_of(interaction, 0)
        await interaction.edit_original_response(view=view, attachments=files)

    @app_commands.command(
        name=localized_name("show.command"), description=localized_name("show.description")
    )
    @app_commands.describe(id=localized_name("show.option.id"))
    async def show(
        self,
        interaction: Interaction,
        id: app_commands.Range[str, 16, 16],  # noqa: A002 - the option's name in Discord
    ) -> None:
        """One job, by its id."""
        job = await self.bot.services.store.job(id)
        if job is None:
            raise JobNotFound
        await show_job(interaction, job, ASK)

    @show.autocomplete("id")
    async def _own(self, interaction: Interaction, typed: str) -> list[app_commands.Choice[str]]:
        jobs = await self.bot.services.store.jobs_of(interaction.user.id, limit=100)
        wanted = typed.lower()
        return [
            app_commands.Choice(name=f"{job.prompt[:80]} ({job.id})", value=job.id)
            for job in jobs
            if wanted in job.id or wanted in job.prompt.lower()
        ][:25]
