"""The slash command `/img2img` and the context menu command "Redraw this"."""

from __future__ import annotations

from functools import partial

import discord
from discord import app_commands
from discord.app_commands import Choice, Range
from discord.ext import commands

from bot.client import RedrawBot
from bot.i18n.translate import localized_name
from bot.jobs.options import options_for
from cogs.img2img._forms import PictureModal
from cogs.img2img._try import redraw_candidate
from cogs.requests.defaults import default_model, style_choices, with_defaults
from cogs.requests.draft import MAX_SEED, Draft
from cogs.requests.parts import PARTS, TRANSPARENT, part_named
from cogs.requests.pictures.candidates import candidates_in
from cogs.requests.pictures.guides import Guides, find_guided_source
from cogs.requests.pictures.sources import RequestContext
from cogs.requests.request import submit_request
from cogs.requests.tasks import TaskCommand, model_choices, model_for

Interaction = discord.Interaction[RedrawBot]


class Img2ImgCommand(TaskCommand):
    """`/img2img`."""

    task = "img2img"


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
        model=localized_name("img2img.name.model"),
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
        model=localized_name("img2img.option.own_model"),
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
        model: Range[str, 1, 200] | None = None,
        private: bool | None = None,
        part: str = PARTS[0],
        threshold: Range[int, 0, 100] | None = None,
        mask: discord.Attachment | None = None,
        structure: discord.Attachment | None = None,
        show_part: bool = False,
    ) -> None:
        """Redraw one picture."""
        guides = Guides(mask=mask, structure=structure, transparent=part == TRANSPARENT)
        if strength is None and structure is not None and image is None and url is None:
            # The structure is the only picture: its colours are not kept.
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
            model=model,
            layout="part" if show_part else "pictures",
            part=part_named(part),
            part_threshold=None if threshold is None else threshold / 100,
            guides=guides.options,
        )
        draft = await with_defaults(
            self.bot.services, interaction.user, interaction.guild_id, draft
        )
        context = RequestContext.of(
            interaction, "img2img", model_for(self.bot.services, "img2img", draft.model)
        )
        await submit_request(
            interaction, draft, partial(find_guided_source, context, image, url, guides)
        )

    img2img = Img2ImgCommand(
        name=localized_name("img2img.command"),
        description=localized_name("img2img.description"),
        callback=_img2img,
    )

    @img2img.autocomplete("model")
    async def _models(self, interaction: Interaction, typed: str) -> list[Choice[str]]:
        return model_choices(interaction, typed, "img2img")

    @img2img.autocomplete("style")
    async def _styles(self, interaction: Interaction, typed: str) -> list[Choice[str]]:
        return await style_choices(interaction, typed)

    async def redraw_this(self, interaction: Interaction, message: discord.Message) -> None:
        """Open a form that asks what the message's picture should become."""
        candidates = list(candidates_in(message))
        model = await default_model(self.bot.services, interaction.user.id, "img2img")
        form = PictureModal(
            candidates,
            str(interaction.locale),
            options_for("img2img", model.options),
            submitted=partial(redraw_candidate, model=model),
        )
        await interaction.response.send_modal(form)
