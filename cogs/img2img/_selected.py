"""The picture that a button acts on, and its contents."""

from __future__ import annotations

from bot.client import Services
from bot.errors import StoredPictureMissing
from bot.images.picture import Picture
from bot.jobs.job import Job, Variant
from cogs.shared.errors import JobNotFound
from cogs.shared.job_buttons import JobAction


def selected_result(job: Job, button: JobAction) -> str:
    """The content hash of the result that the button acts on.

    Raises:
        JobNotFound: the job has no such result.
    """
    result = selected_variant(job, button).result
    if result is None:
        raise JobNotFound
    return result


def selected_variant(job: Job, button: JobAction) -> Variant:
    """The variant that the button acts on.

    Raises:
        JobNotFound: the job has no such variant.
    """
    if button.number > len(job.variants):
        raise JobNotFound
    return job.variants[button.number - 1]


async def stored_picture(services: Services, content: str) -> Picture:
    """A stored picture.

    Raises:
        JobNotFound: it is not stored any more.
    """
    try:
        return await services.store.pictures.get(content)
    except StoredPictureMissing as error:
        raise JobNotFound from error
