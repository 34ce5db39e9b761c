"""The slash command `/img2img` and the context menu command "Redraw this"."""

from __future__ import annotations

from functools import partial
from typing import Any

import discord
from discord import app_commands
from discord.app_commands import Range
from discord.ext import commands

from bot.client import RedrawBot
from bot.i18n.translate import localized_name, translate
from cogs.img2img._forms import PictureModal
from cogs.img2img._try import redraw_candidate
from cogs.requests.candidates import candidates_in
from cogs.requests.defaults import NO_STYLE, with_defaults
from cogs.requests.draft import MAX_SEED, Draft
from cogs.requests.request import submit_request
from cogs.requests.sources import RequestContext, find_source

Interaction = discord.Interaction[RedrawBot]

# https://discord.com/developers/docs/interactions/application-commands#autocomplete
MAX_CHOICES = 25


class Img2ImgCommand(app_commands.Command["Img2Img", ..., None]):
    """`/img2img`. Its option `steps` ends at the operator's limit instead of the highest one."""

    async def get_translated_payload(
        self, tree: app_commands.CommandTree[Any], translator: app_commands.Translator
    ) -> dict[str, Any]:
        """The command as it is published."""
        assert self.binding is not None
        command = await super().get_translated_payload(tree, translator)
        steps = next(option for option in command["options"] if option["name"] == "steps")
        steps["max_value"] = self.binding.bot.services.settings.max_steps
        return command


class Img2Img(commands.Cog):
    """`/img2img` and "Redraw this"."""

    def __init__(self, bot: RedrawBot) -> None:
        self.bot = bot
        self.menu = app_commands.ContextMenu(
            name=localized_name("img2img.menu"), callback=self.redraw_this
        )

    async def cog_load(self) -> None:
        """Add the context menu command, which discord.py does not collect from a cog."""
        self.bot.tree.add_command(self.menu)

    async def cog_unload(self) -> None:
        """Remove the context menu command with the cog."""
        self.bot.tree.remove_command(self.menu.name, type=self.menu.type)

    @app_commands.rename(
        prompt=localized_name("img2img.name.prompt"),
        image=localized_name("img2img.name.image"),
        url=localized_name("img2img.name.url"),
        negative_prompt=localized_name("img2img.name.negative_prompt"),
        strength=localized_name("img2img.name.strength"),
        steps=localized_name("img2img.name.steps"),
        guidance=localized_name("img2img.name.guidance"),
        seed=localized_name("img2img.name.seed"),
        count=localized_name("img2img.name.count"),
        style=localized_name("img2img.name.style"),
        private=localized_name("img2img.name.private"),
    )
    @app_commands.describe(
        prompt=localized_name("img2img.option.prompt"),
        image=localized_name("img2img.option.image"),
        url=localized_name("img2img.option.url"),
        negative_prompt=localized_name("img2img.option.negative_prompt"),
        strength=localized_name("img2img.option.strength"),
        steps=localized_name("img2img.option.steps"),
        guidance=localized_name("img2img.option.guidance"),
        seed=localized_name("img2img.option.seed"),
        count=localized_name("img2img.option.count"),
        style=localized_name("img2img.option.style"),
        private=localized_name("img2img.option.private"),
    )
    async def _img2img(
        self,
        interaction: Interaction,
        prompt: Range[str, 1, 1000],
        image: discord.Attachment | None = None,
        url: Range[str, 1, 2000] | None = None,
        negative_prompt: Range[str, 1, 1000] = "",
        strength: Range[float, 0.05, 1.0] | None = None,
        steps: Range[int, 1, 150] | None = None,
        guidance: Range[float, 1.0, 20.0] | None = None,
        seed: Range[int, 0, MAX_SEED] | None = None,
        count: Range[int, 1, 4] = 1,
        style: Range[str, 1, 100] | None = None,
        private: bool | None = None,
    ) -> None:
        """Redraw one picture."""
        draft = Draft(
            prompt=prompt,
            negative_prompt=negative_prompt,
            strength=strength,
            steps=steps,
            guidance=guidance,
            seed=seed,
            count=count,
            style=style,
            private=private,
        )
        draft = await with_defaults(
            self.bot.services, interaction.user, interaction.guild_id, draft
        )
        context = RequestContext.of(interaction)
        await submit_request(interaction, draft, partial(find_source, context, image, url))

    img2img = Img2ImgCommand(
        name=localized_name("img2img.command"),
        description=localized_name("img2img.description"),
        callback=_img2img,
    )

    @img2img.autocomplete("style")
    async def _styles(self, interaction: Interaction, typed: str) -> list[app_commands.Choice[str]]:
        names = list(self.bot.services.styles.matching(typed))[: MAX_CHOICES - 1]
        choices = [app_commands.Choice(name=name, value=name) for name in names]
        none = translate(interaction.locale, "defaults.no_style")
        store = self.bot.services.store
        defaults = await store.user_defaults.of(interaction.user.id)
        options = await store.guild_settings.options(interaction.guild_id)
        if (defaults.style or options.style) is not None and typed.lower() in none.lower():
            choices.append(app_commands.Choice(name=none, value=NO_STYLE))
        return choices

    async def redraw_this(self, interaction: Interaction, message: discord.Message) -> None:
        """Open a form that asks what the message's picture should become."""
        candidates = list(candidates_in(message))
        await interaction.response.send_modal(
            PictureModal(candidates, str(interaction.locale), submitted=redraw_candidate)
        )
