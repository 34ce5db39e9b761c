"""The buttons of `/help` that try the bot: with a sample picture, or with an upload."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial

from bot.jobs.options import options_for
from cogs.img2img._forms import PictureModal, RequestModal
from cogs.requests.defaults import default_model, with_defaults
from cogs.requests.draft import Draft
from cogs.requests.pictures.candidates import ImageCandidate
from cogs.requests.pictures.sources import RequestContext, store_candidate
from cogs.requests.pictures.stored_source import StoredSource, store_picture
from cogs.requests.request import submit_request
from cogs.requests.tasks import model_for, task_for_a_picture
from cogs.shared.open_button import Interaction, OpenAction, Target
from inference import POCKET, ModelEntry

SAMPLE = POCKET / "samples" / "fox.png"
# In English and in words that every model knows, the bundled one included.
SAMPLE_PROMPT = "a panda on a pink background"


class TrySample(OpenAction):
    """Open a form, filled in, for a sample picture."""

    target = Target.SAMPLE

    async def act(self, interaction: Interaction) -> None:
        """Open the form."""
        services = interaction.client.services
        task = task_for_a_picture(services)
        model = await default_model(services, interaction.user.id, task)
        options = options_for(task, model.options)
        draft = Draft(prompt=SAMPLE_PROMPT, task=task, model=model.name)
        form = RequestModal(draft, str(interaction.locale), options, submitted=_redraw_sample)
        await interaction.response.send_modal(form)


class TryUpload(OpenAction):
    """Open a form for a picture that the user uploads."""

    target = Target.UPLOAD

    async def act(self, interaction: Interaction) -> None:
        """Open the form."""
        services = interaction.client.services
        task = task_for_a_picture(services)
        model = await default_model(services, interaction.user.id, task)
        form = PictureModal(
            [],
            str(interaction.locale),
            options_for(task, model.options),
            submitted=partial(redraw_candidate, model=model),
        )
        await interaction.response.send_modal(form)


async def redraw_candidate(
    interaction: Interaction, draft: Draft, candidate: ImageCandidate, *, model: ModelEntry
) -> None:
    """Submit the request of a form for a picture of a message or an upload.

    `model`: the model whose settings the form has.
    """
    bot = interaction.client
    draft = replace(draft, task=task_for_a_picture(bot.services), model=model.name)
    draft = await with_defaults(bot.services, interaction.user, interaction.guild_id, draft)
    context = RequestContext.of(interaction, draft.task, model)
    await submit_request(interaction, draft, partial(store_candidate, context, candidate))


async def _redraw_sample(interaction: Interaction, draft: Draft) -> None:
    services = interaction.client.services

    async def find_source() -> StoredSource:
        data = await asyncio.to_thread(SAMPLE.read_bytes)
        return await store_picture(
            services, data, SAMPLE.name, model_for(services, draft.task, draft.model)
        )

    draft = await with_defaults(services, interaction.user, interaction.guild_id, draft)
    await submit_request(interaction, draft, find_source)
