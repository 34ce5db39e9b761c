"""Checks of jobs for tests that are about something else."""

from __future__ import annotations

from collections.abc import Sequence

from bot.images.picture import Picture
from bot.jobs.job import Job
from inference import Preview


class NoChecks:
    """Implements `JobChecks`: everything passes, as with `MODERATION=false`."""

    async def check_request(self, job: Job) -> None:
        pass

    async def check_result(self, job: Job, sources: Sequence[Picture], result: Picture) -> None:
        pass

    async def check_post(self, picture: Picture, guild_id: int | None, channel_id: int) -> None:
        pass

    async def check_posted_prompt(self, job: Job, guild_id: int | None, channel_id: int) -> None:
        pass

    async def may_preview(self, job: Job, preview: Preview) -> bool:
        return True
