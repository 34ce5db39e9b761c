"""The star button: adds a picture to the user's favourites, or removes it from them."""

from __future__ import annotations

import time

from bot.i18n.translate import translate
from bot.jobs.job import Job
from bot.replies import reply_privately
from bot.store.favourites import FavouriteChange
from cogs.shared.access import AccessRule
from cogs.shared.errors import TooManyFavourites
from cogs.shared.job_buttons import Action, Interaction, JobAction


class Favourite(JobAction):
    """Add the job to the user's favourites, or remove it."""

    action = Action.FAVOURITE
    access = AccessRule.RESULT

    async def run(self, interaction: Interaction, job: Job) -> None:
        """Change the favourites and say what was done, and how long the picture is kept.

        Raises:
            TooManyFavourites: the user has as many as they may.
        """
        services = interaction.client.services
        limit = services.settings.favourites_per_user
        change = await services.store.favourites.toggle(
            interaction.user.id, job.id, time.time(), limit=limit
        )
        if change is FavouriteChange.REFUSED:
            raise TooManyFavourites(limit=limit)
        if change is FavouriteChange.REMOVED:
            key = "favourites.removed"
        elif job.user_id == interaction.user.id:
            key = "favourites.kept"
        else:
            key = "favourites.added"
        await reply_privately(interaction, translate(interaction.locale, key))
