"""The protocol of the checks that a job's request, pictures and previews must pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from bot.images.picture import Picture
from bot.jobs.job import Job
from inference import Preview


class JobChecks(Protocol):
    """A check that cannot run refuses. `bot.moderation.job_checks` implements it."""

    async def check_request(self, job: Job) -> None:
        """Check the prompts and the pictures of a job that is not accepted yet.

        Raises:
            UserError: they are refused, or cannot be checked.
        """
        ...

    async def check_result(self, job: Job, sources: Sequence[Picture], result: Picture) -> None:
        """Check a new result before it is stored. `sources` are the pictures that the user gave.

        Raises:
            ResultRefused: it is refused; moderators see it.
            ResultNotChecked: it cannot be checked.
        """
        ...

    async def check_post(self, picture: Picture, guild_id: int | None, channel_id: int) -> None:
        """Check a stored picture before it is posted in a channel.

        Raises:
            ResultRefused: it is not allowed in that channel.
            ResultNotChecked: it cannot be checked.
        """
        ...

    async def check_posted_prompt(self, job: Job, guild_id: int | None, channel_id: int) -> None:
        """Check the prompt of a stored job, as users read it, before it is posted in a channel.

        Raises:
            UserError: it is not allowed there, or cannot be checked.
        """
        ...

    async def may_preview(self, job: Job, preview: Preview) -> bool:
        """Whether a preview of a running job may be shown."""
        ...
