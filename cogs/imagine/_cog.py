"""The slash command `/imagine`."""

from __future__ import annotations

import discord
from discord import app_commands
from discord.app_commands import Choice, Range
from discord.ext import commands

from bot.client import RedrawBot
from bot.i18n.translate import localized_name
from bot.images.shapes import Shape, size_of
from cogs.requests.defaults import style_choices, with_defaults
from cogs.requests.draft import MAX_SEED, Draft
from cogs.requests.pictures.stored_source import StoredSource
from cogs.requests.request import submit_request
from cogs.requests.tasks import TaskCommand, model_choices, model_for

Interaction = discord.Interaction[RedrawBot]


class ImagineCommand(TaskCommand):
    """`/imagine`."""

    task = "text2img"


class Imagine(commands.Cog):
    """`/imagine`."""

    def __init__(self, bot: RedrawBot) -> None:
        self.bot = bot

    @app_commands.rename(
        prompt=localized_name("img2img.name.prompt"),
        size=localized_name("imagine.name.size"),
        negative_prompt=localized_name("img2img.name.negative_prompt"),
        steps=localized_name("img2img.name.steps"),
        guidance=localized_name("img2img.name.guidance"),
        seed=localized_name("img2img.name.seed"),
        count=localized_name("img2img.name.count"),
        style=localized_name("img2img.name.style"),
        model=localized_name("img2img.name.model"),
        private=localized_name("img2img.name.private"),
    )
    @app_commands.describe(
        prompt=localized_name("imagine.option.prompt"),
        size=localized_name("imagine.option.size"),
        negative_prompt=localized_name("img2img.option.negative_prompt"),
        steps=localized_name("edit.option.steps"),
        guidance=localized_name("img2img.option.guidance"),
        seed=localized_name("img2img.option.seed"),
        count=localized_name("img2img.option.count"),
        style=localized_name("img2img.option.style"),
        model=localized_name("img2img.option.model"),
        private=localized_name("img2img.option.private"),
    )
    @app_commands.choices(
        size=[
            Choice(name=localized_name("imagine.size.square"), value="square"),
            Choice(name=localized_name("imagine.size.portrait"), value="portrait"),
            Choice(name=localized_name("imagine.size.landscape"), value="landscape"),
        ]
    )
    async def _imagine(
        self,
        interaction: Interaction,
        prompt: Range[str, 1, 1000],
        size: Shape = "square",
        negative_prompt: Range[str, 1, 1000] = "",
        steps: Range[int, 1, 150] | None = None,
        guidance: Range[float, 1.0, 20.0] | None = None,
        seed: Range[int, 0, MAX_SEED] | None = None,
        count: Range[int, 1, 4] = 1,
        style: Range[str, 1, 100] | None = None,
        model: Range[str, 1, 200] | None = None,
        private: bool | None = None,
    ) -> None:
        """Draw a picture from text."""
        draft = Draft(
            prompt=prompt,
            task="text2img",
            negative_prompt=negative_prompt,
            steps=steps,
            guidance=guidance,
            seed=seed,
            count=count,
            style=style,
            private=private,
            model=model,
        )
        services = self.bot.services
        width, height = size_of(model_for(services, "text2img", model), size)

        async def no_source() -> StoredSource:
            return StoredSource(stored=None, width=width, height=height, name="")

        draft = await with_defaults(services, interaction.user, interaction.guild_id, draft)
        await submit_request(interaction, draft, no_source)

    imagine = ImagineCommand(
        name=localized_name("imagine.command"),
        description=localized_name("imagine.description"),
        callback=_imagine,
    )

    @imagine.autocomplete("model")
    async def _models(self, interaction: Interaction, typed: str) -> list[Choice[str]]:
        return model_choices(interaction, typed, "text2img")

    @imagine.autocomplete("style")
    async def _styles(self, interaction: Interaction, typed: str) -> list[Choice[str]]:
        return await style_choices(interaction, typed)
