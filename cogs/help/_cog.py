"""`/help`."""

from __future__ import annotations

import discord
from discord import app_commands
from discord.ext import commands

from bot.client import RedrawBot
from bot.config import Settings
from bot.i18n.durations import duration
from bot.i18n.translate import localized_name, translate
from cogs.shared.open_button import OpenButton, Target
from cogs.shared.renderer import ACCENT
from cogs.shared.text import plain
from inference import Task

BUTTONS = {
    Target.SAMPLE: "help.button.sample",
    Target.UPLOAD: "help.button.upload",
    Target.HISTORY: "help.button.history",
    Target.DEFAULTS: "help.button.defaults",
}
# The first task that the models have decides.
INTRODUCTIONS: dict[Task, str] = {
    "img2img": "help.intro",
    "edit": "help.intro_edit",
    "text2img": "help.intro_text2img",
}
COMMANDS = (
    *("img2img", "history", "favourites", "show", "queue", "cancel", "defaults", "quota"),
    *("settings", "privacy"),
)


class Help(commands.Cog):
    """`/help` explains the bot, with buttons that try it."""

    def __init__(self, bot: RedrawBot) -> None:
        self.bot = bot

    @app_commands.command(
        name=localized_name("help.command"), description=localized_name("help.description")
    )
    async def help(self, interaction: discord.Interaction[RedrawBot]) -> None:
        """Reply with the explanation."""
        services = self.bot.services
        options = await services.store.guild_settings.options(interaction.guild_id)
        hours = services.settings.retention_hours
        # A server may set a shorter time than the operator's.
        hours = min(hours, options.retention_hours or hours)
        parts = any("part" in model.options for model in services.models.with_task("img2img"))
        view = draw_help(
            services.settings,
            str(interaction.locale),
            hours,
            services.models.tasks,
            parts=parts,
            mentions=options.mentions,
            in_server=interaction.guild_id is not None,
        )
        await interaction.response.send_message(view=view, ephemeral=True)


def draw_help(
    settings: Settings,
    locale: str,
    hours: float,
    tasks: frozenset[Task],
    *,
    parts: bool,
    mentions: bool = True,
    in_server: bool = True,
) -> discord.ui.LayoutView:
    """The functions with buttons to try them, the stored data and its retention, the operator.

    `hours` is the retention time of pictures here, `tasks` what the configured models can do,
    `parts` whether one of them can redraw a part of a picture, and `mentions` whether a mention is
    a request here. `in_server` is False in direct messages.
    """
    container = discord.ui.Container[discord.ui.LayoutView](accent_colour=ACCENT)
    text = _use(locale, tasks, parts=parts, mentions=mentions)
    container.add_item(discord.ui.TextDisplay(text))
    row = discord.ui.ActionRow[discord.ui.LayoutView]()
    redraws = "img2img" in tasks
    for target, label in BUTTONS.items():
        if target in (Target.SAMPLE, Target.UPLOAD) and not redraws:
            continue
        first = target is Target.SAMPLE
        style = discord.ButtonStyle.primary if first else discord.ButtonStyle.secondary
        row.add_item(OpenButton(target, translate(locale, label), style))
    container.add_item(row)
    container.add_item(discord.ui.Separator())
    container.add_item(discord.ui.TextDisplay(_kept(settings, locale, hours)))
    container.add_item(discord.ui.Separator())
    container.add_item(discord.ui.TextDisplay(_operator(settings, locale, in_server=in_server)))
    view = discord.ui.LayoutView(timeout=None)
    view.add_item(container)
    return view


def _use(locale: str, tasks: frozenset[Task], *, parts: bool, mentions: bool) -> str:
    names = {name: f"`/{translate(locale, f'{name}.command')}`" for name in COMMANDS}
    lines = [translate(locale, next(key for task, key in INTRODUCTIONS.items() if task in tasks))]
    if "img2img" in tasks:
        menu = translate(locale, "img2img.menu")
        lines.append(translate(locale, "help.use_img2img", menu=menu, **names))
    if parts:
        name = translate(locale, "img2img.name.part")
        lines.append(translate(locale, "help.use_part", part=name, **names))
    for task, command in (("edit", "edit"), ("text2img", "imagine")):
        if task in tasks:
            name = translate(locale, f"{command}.command")
            lines.append(f"- `/{name}`: {translate(locale, f'{command}.description')}")
    if mentions and tasks & {"img2img", "edit"}:
        lines.append(translate(locale, "help.use_mention"))
    lines.append(translate(locale, "help.use_rest", **names))
    return "\n".join(lines)


def _kept(settings: Settings, locale: str, hours: float) -> str:
    privacy = translate(locale, "privacy.command")
    lines = [translate(locale, "help.kept", duration=duration(locale, hours * 3600))]
    if settings.favourites_per_user:
        lines.append(translate(locale, "help.kept_favourites"))
    lines.append(translate(locale, "help.kept_quota"))
    lines.append(
        translate(
            locale,
            "help.kept_otherwise",
            export=f"`/{privacy} {translate(locale, 'privacy.export.command')}`",
            delete=f"`/{privacy} {translate(locale, 'privacy.delete.command')}`",
        )
    )
    return "\n".join(lines)


def _operator(settings: Settings, locale: str, *, in_server: bool) -> str:
    unnamed = "help.unnamed_server" if in_server else "help.unnamed"
    operator = plain(settings.operator) or translate(locale, unnamed)
    lines = [translate(locale, "help.operator", operator=operator)]
    if settings.contact:
        lines.append(translate(locale, "help.contact", contact=settings.contact))
    if settings.privacy_url:
        lines.append(translate(locale, "help.privacy_policy", url=settings.privacy_url))
    if settings.terms_url:
        lines.append(translate(locale, "help.terms", url=settings.terms_url))
    return "\n".join(lines)
