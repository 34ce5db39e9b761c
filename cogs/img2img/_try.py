"""The buttons of `/help` that try the bot: with a sample picture, or with one's own."""

from __future__ import annotations

import asyncio
from functools import partial

from cogs.img2img._forms import PictureModal, RequestModal, first_part
from cogs.requests.candidates import ImageCandidate
from cogs.requests.defaults import with_defaults
from cogs.requests.draft import Draft
from cogs.requests.request import submit_request
from cogs.requests.sources import StoredSource, store_candidate, store_picture
from cogs.shared.open_button import Interaction, OpenAction, Target
from inference import POCKET

SAMPLE = POCKET / "samples" / "fox.png"
# In English and in words that every model knows, the bundled one included.
SAMPLE_PROMPT = "a panda on a pink background"


class TrySample(OpenAction):
    """Open a form, filled in, for a sample picture."""

    target = Target.SAMPLE

    async def run(self, interaction: Interaction) -> None:
        """Open the form."""
        form = RequestModal(
            Draft(prompt=SAMPLE_PROMPT),
            str(interaction.locale),
            submitted=_redraw_sample,
            parts=first_part(interaction.client.services) is not None,
        )
        await interaction.response.send_modal(form)


class TryUpload(OpenAction):
    """Open a form for a picture that the user uploads."""

    target = Target.UPLOAD

    async def run(self, interaction: Interaction) -> None:
        """Open the form."""
        form = PictureModal(
            [],
            str(interaction.locale),
            submitted=redraw_candidate,
            part=first_part(interaction.client.services),
        )
        await interaction.response.send_modal(form)


async def redraw_candidate(
    interaction: Interaction, draft: Draft, candidate: ImageCandidate
) -> None:
    """Submit the request of a form for a picture of a message or an upload."""
    bot = interaction.client
    draft = await with_defaults(bot.services, interaction.user, interaction.guild_id, draft)
    await submit_request(interaction, draft, partial(store_candidate, bot, candidate))


async def _redraw_sample(interaction: Interaction, draft: Draft) -> None:
    services = interaction.client.services

    async def find_source() -> StoredSource:
        data = await asyncio.to_thread(SAMPLE.read_bytes)
        return await store_picture(services, data, SAMPLE.name)

    draft = await with_defaults(services, interaction.user, interaction.guild_id, draft)
    await submit_request(interaction, draft, find_source)
