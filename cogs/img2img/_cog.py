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
from cogs.img2img._forms import PictureModal, first_part
from cogs.img2img._try import redraw_candidate
from cogs.requests.candidates import candidates_in
from cogs.requests.defaults import NO_STYLE, with_defaults
from cogs.requests.draft import MAX_SEED, Draft
from cogs.requests.guides import Guides, find_guided_source
from cogs.requests.parts import PARTS, TRANSPARENT, part_named
from cogs.requests.request import check_parts, submit_request
from cogs.requests.sources import RequestContext

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
        part=localized_name("img2img.name.part"),
        threshold=localized_name("img2img.name.threshold"),
        mask=localized_name("img2img.name.mask"),
        structure=localized_name("img2img.name.structure"),
        show_part=localized_name("img2img.name.show_part"),
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
        part=localized_name("img2img.option.part"),
        threshold=localized_name("img2img.option.threshold"),
        mask=localized_name("img2img.option.mask"),
        structure=localized_name("img2img.option.structure"),
        show_part=localized_name("img2img.option.show_part"),
    )
    @app_commands.choices(
        part=[
            app_commands.Choice(name=localized_name(f"img2img.part.{part}"), value=part)
            for part in (*PARTS, TRANSPARENT)
        ]
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
        part: str = PARTS[0],
        threshold: Range[int, 0, 100] | None = None,
        mask: discord.Attachment | None = None,
        structure: discord.Attachment | None = None,
        show_part: bool = False,
    ) -> None:
        """Redraw one picture."""
        guides = Guides(mask=mask, structure=structure, transparent=part == TRANSPARENT)
        if guides != Guides() or show_part:
            check_parts(self.bot.services)
        if structure is not None and image is None and url is None:
            # The structure is the only picture: nothing of its colours is kept.
            strength = 1.0
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
            layout="part" if show_part else "pictures",
            part=part_named(part),
            part_threshold=None if threshold is None else threshold / 100,
        )
        draft = await with_defaults(
            self.bot.services, interaction.user, interaction.guild_id, draft
        )
        context = RequestContext.of(interaction)
        await submit_request(
            interaction, draft, partial(find_guided_source, context, image, url, guides)
        )

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
            PictureModal(
                candidates,
                str(interaction.locale),
                submitted=redraw_candidate,
                part=first_part(self.bot.services),
            )
        )
