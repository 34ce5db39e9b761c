"""The star button: adds a picture to the user's favourites, or removes it from them."""

from __future__ import annotations

import time

from bot.i18n.translate import translate
from bot.jobs.job import Job
from bot.replies import reply_privately
from bot.store.favourites import FavouriteChange
from cogs.shared.access import AccessRule
from cogs.shared.channel_facts import check_access
from cogs.shared.errors import JobNotFound, TooManyFavourites
from cogs.shared.job_buttons import Action, Interaction, JobAction


class Favourite(JobAction):
    """Add the job to the user's favourites, or remove it."""

    action = Action.FAVOURITE
    # Users may always remove their own favourites; `run` checks `RESULT` before it adds one.
    access = AccessRule.MESSAGE

    async def run(self, interaction: Interaction, job: Job) -> None:
        """Change the favourites and say what was done, and how long the picture is kept.

        Raises:
            JobNotFound, AgeRestricted: the user may not see the result here, and it is not one of
                their favourites.
            TooManyFavourites: the user has as many as they may.
        """
        services = interaction.client.services
        if await services.store.favourites.remove(interaction.user.id, job.id):
            await reply_privately(interaction, translate(interaction.locale, "favourites.removed"))
            return
        await check_access(interaction, job, AccessRule.RESULT)
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

    async def run_without_job(self, interaction: Interaction) -> None:
        """The favourites of the job were erased with it.

        Raises:
            JobNotFound: always.
        """
        raise JobNotFound
