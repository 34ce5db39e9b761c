"""The checks of jobs: where a job belongs, and moderation's refusals as job failures."""

from __future__ import annotations

from collections.abc import Sequence

import discord

from bot.errors import StoredPictureMissing
from bot.images.picture import Picture
from bot.jobs.failures import ResultNotChecked, ResultRefused
from bot.jobs.job import Job
from bot.moderation.errors import ChecksUnavailable, PictureRefused, PromptRefused
from bot.moderation.moderation import Moderation
from bot.moderation.place import place_of, place_of_job
from bot.store.picture_files import PictureFiles
from inference import Preview


class ModerationChecks:
    """Implements `bot.jobs.checks.JobChecks`."""

    def __init__(
        self, client: discord.Client, moderation: Moderation, pictures: PictureFiles
    ) -> None:
        self._client = client
        self._moderation = moderation
        self._pictures = pictures

    async def check_request(self, job: Job) -> None:
        """As the protocol says; raises the errors of `bot.moderation.errors`."""
        place = place_of_job(self._client, job)
        texts = [job.prompt, job.negative_prompt, job.shown_prompt, job.shown_negative_prompt]
        for variant in job.variants:
            texts += [text for text in (variant.prompt, variant.negative_prompt) if text]
        await self._moderation.check_prompt(place, job.user_id, job.shown_prompt, texts)
        for name in job.uploads:
            source = await self._pictures.get(name)
            await self._moderation.check_source(place, job.user_id, job.shown_prompt, source)

    async def check_result(self, job: Job, sources: Sequence[Picture], result: Picture) -> None:
        """As the protocol says."""
        try:
            await self._moderation.check_result(
                place_of_job(self._client, job),
                job.user_id,
                job.shown_prompt,
                job.id,
                sources=sources,
                result=result,
            )
        except PictureRefused as error:
            raise ResultRefused(error.case_id) from error
        except ChecksUnavailable as error:
            raise ResultNotChecked from error

    async def check_post(self, picture: Picture, guild_id: int | None, channel_id: int) -> None:
        """As the protocol says."""
        try:
            place = place_of(self._client, guild_id, channel_id)
            await self._moderation.check_upload(place, picture)
        except PictureRefused as error:
            raise ResultRefused from error
        except ChecksUnavailable as error:
            raise ResultNotChecked from error

    async def check_posted_prompt(self, job: Job, guild_id: int | None, channel_id: int) -> None:
        """As the protocol says; raises the errors of `bot.moderation.errors`."""
        place = place_of(self._client, guild_id, channel_id)
        if await self._moderation.find_rules(place, [job.shown_prompt]):
            raise PromptRefused

    async def may_preview(self, job: Job, preview: Preview) -> bool:
        """As the protocol says."""
        try:
            # A preview shows the shapes of a structure. A mask is not shown.
            structure = () if job.structure is None else (job.structure,)
            sources = [await self._pictures.get(name) for name in (*job.sources, *structure)]
        except StoredPictureMissing:
            return False
        small = Picture(preview.pixels, preview.width, preview.height)
        place = place_of_job(self._client, job)
        return await self._moderation.may_preview(place, sources, small)
