"""The slash command `/edit` and the context menu command "Edit this"."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import discord
from discord import app_commands
from discord.app_commands import Choice, Range
from discord.ext import commands

from bot.client import RedrawBot
from bot.i18n.translate import localized_name
from cogs.edit._form import EditModal
from cogs.requests.defaults import with_defaults
from cogs.requests.draft import MAX_SEED, Draft
from cogs.requests.pictures.candidates import ImageCandidate, candidates_in
from cogs.requests.pictures.edit_sources import candidates_of, find_edit_sources
from cogs.requests.pictures.guides import Guides
from cogs.requests.pictures.sources import RequestContext
from cogs.requests.request import submit_request
from cogs.requests.tasks import TaskCommand, model_choices, model_for

Interaction = discord.Interaction[RedrawBot]

IMAGE_OPTIONS = ("image", "image_2", "image_3", "image_4")


class EditCommand(TaskCommand):
    """`/edit`. It is published with as many picture options as the model reads pictures."""

    task = "edit"

    async def get_translated_payload(
        self, tree: app_commands.CommandTree[Any], translator: app_commands.Translator
    ) -> dict[str, Any]:
        """The command as it is published."""
        assert self.binding is not None
        command = await super().get_translated_payload(tree, translator)
        models = self.binding.bot.services.models.with_task("edit")
        limit = max(model.max_references for model in models)
        extra = IMAGE_OPTIONS[limit:]
        command["options"] = [each for each in command["options"] if each["name"] not in extra]
        return command


class Edit(commands.Cog):
    """`/edit` and "Edit this"."""

    def __init__(self, bot: RedrawBot) -> None:
        self.bot = bot
        self.menu = app_commands.ContextMenu(
            name=localized_name("edit.menu"), callback=self.edit_this
        )

    async def cog_load(self) -> None:
        """Add the context menu command, which discord.py does not collect from a cog."""
        self.bot.tree.add_command(self.menu)

    async def cog_unload(self) -> None:
        """Remove the context menu command with the cog."""
        self.bot.tree.remove_command(self.menu.name, type=self.menu.type)

    @app_commands.rename(
        instruction=localized_name("edit.name.instruction"),
        image=localized_name("img2img.name.image"),
        image_2=localized_name("edit.name.image_2"),
        image_3=localized_name("edit.name.image_3"),
        image_4=localized_name("edit.name.image_4"),
        links=localized_name("edit.name.links"),
        mask=localized_name("img2img.name.mask"),
        negative_prompt=localized_name("img2img.name.negative_prompt"),
        steps=localized_name("img2img.name.steps"),
        guidance=localized_name("img2img.name.guidance"),
        seed=localized_name("img2img.name.seed"),
        count=localized_name("img2img.name.count"),
        model=localized_name("img2img.name.model"),
        private=localized_name("img2img.name.private"),
    )
    @app_commands.describe(
        instruction=localized_name("edit.option.instruction"),
        image=localized_name("edit.option.image"),
        image_2=localized_name("edit.option.further"),
        image_3=localized_name("edit.option.further"),
        image_4=localized_name("edit.option.further"),
        links=localized_name("edit.option.links"),
        mask=localized_name("edit.option.mask"),
        negative_prompt=localized_name("img2img.option.negative_prompt"),
        steps=localized_name("edit.option.steps"),
        guidance=localized_name("img2img.option.guidance"),
        seed=localized_name("img2img.option.seed"),
        count=localized_name("img2img.option.count"),
        model=localized_name("img2img.option.model"),
        private=localized_name("img2img.option.private"),
    )
    async def _edit(
        self,
        interaction: Interaction,
        instruction: Range[str, 1, 1000],
        image: discord.Attachment | None = None,
        image_2: discord.Attachment | None = None,
        image_3: discord.Attachment | None = None,
        image_4: discord.Attachment | None = None,
        links: Range[str, 1, 4000] | None = None,
        mask: discord.Attachment | None = None,
        negative_prompt: Range[str, 1, 1000] = "",
        steps: Range[int, 1, 150] | None = None,
        guidance: Range[float, 1.0, 20.0] | None = None,
        seed: Range[int, 0, MAX_SEED] | None = None,
        count: Range[int, 1, 4] = 1,
        model: Range[str, 1, 200] | None = None,
        private: bool | None = None,
    ) -> None:
        """Edit one to four pictures by an instruction."""
        draft = Draft(
            prompt=instruction,
            task="edit",
            negative_prompt=negative_prompt,
            steps=steps,
            guidance=guidance,
            seed=seed,
            count=count,
            private=private,
            model=model,
            guides=Guides(mask=mask).options,
        )
        images = [each for each in (image, image_2, image_3, image_4) if each is not None]
        await self._submit(interaction, draft, candidates_of(images), links, mask)

    edit = EditCommand(
        name=localized_name("edit.command"),
        description=localized_name("edit.description"),
        callback=_edit,
    )

    @edit.autocomplete("model")
    async def _models(self, interaction: Interaction, typed: str) -> list[Choice[str]]:
        return model_choices(interaction, typed, "edit")

    async def edit_this(self, interaction: Interaction, message: discord.Message) -> None:
        """Open a form that asks for an instruction about the message's pictures."""
        limit = model_for(self.bot.services, "edit").max_references
        form = EditModal(
            list(candidates_in(message)), str(interaction.locale), limit, submitted=self._submit
        )
        await interaction.response.send_modal(form)

    async def _submit(
        self,
        interaction: Interaction,
        draft: Draft,
        candidates: Sequence[ImageCandidate],
        links: str | None = None,
        mask: discord.Attachment | None = None,
    ) -> None:
        services = self.bot.services
        model = model_for(services, "edit", draft.model)
        draft = await with_defaults(services, interaction.user, interaction.guild_id, draft)
        context = RequestContext.of(interaction, "edit", model)
        find = partial(find_edit_sources, context, candidates, links, mask)
        await submit_request(interaction, draft, find)
