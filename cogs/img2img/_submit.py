"""New requests from an earlier job: its settings, its result as the source, submission."""

from __future__ import annotations

import dataclasses

from bot.delivery.notification import message_link
from bot.i18n.translate import translate
from bot.jobs.job import Job, Variant
from cogs.img2img._selected import stored_picture
from cogs.requests.defaults import with_usable_model
from cogs.requests.draft import Draft, draft_of, source_of
from cogs.requests.pictures.stored_source import StoredSource, refitted
from cogs.requests.request import submit_request
from cogs.requests.tasks import model_for
from cogs.shared.job_buttons import Interaction
from inference import Task


async def as_task(
    interaction: Interaction, job: Job, task: Task, variant: Variant | None = None
) -> Draft:
    """The settings of a job for a request with this task, without tiles: another task has its own
    steps, guidance and parts, and maybe another model."""
    services = interaction.client.services
    draft = dataclasses.replace(draft_of(services, job, variant), tile=None)
    if job.task == task:
        return draft
    draft = dataclasses.replace(
        draft,
        task=task,
        steps=None,
        guidance=None,
        part="everything",
        part_threshold=None,
        # It would be taken for a part of an instruction.
        style=draft.style if task != "edit" else None,
    )
    return await with_usable_model(services, interaction.user.id, draft)


async def submit_draft(interaction: Interaction, draft: Draft, source: StoredSource) -> None:
    """Submit a request with stored pictures, at sizes of the draft's model unless it has tiles.

    Raises:
        UserError: the request is refused.
    """
    services = interaction.client.services
    draft = dataclasses.replace(draft, guides=source.guides)

    async def find_source() -> StoredSource:
        for picture in source.pictures:
            await stored_picture(services, picture)
        if draft.tile is not None:
            return source
        return await refitted(services, source, model_for(services, draft.task, draft.model))

    await submit_request(interaction, draft, find_source)


def result_as_source(interaction: Interaction, job: Job, result: str, task: Task) -> StoredSource:
    """A result of the job as the source of a new request with this task."""
    source = source_of(job, interaction)
    if task != job.task:
        source = dataclasses.replace(source, mask=None, structure=None)
    return dataclasses.replace(
        source,
        stored=result,
        name=_result_name(interaction, job),
        channel_id=job.destination.channel_id,
        references=(),
    )


def _result_name(interaction: Interaction, job: Job) -> str:
    """The name of a result as a source: a link to its message, if that is public and here."""
    destination = job.destination
    here = destination.channel_id == interaction.channel_id
    if destination.private or not here or job.post_channel_id is not None:
        return translate(interaction.locale, "img2img.source.result", job=job.id)
    return translate(interaction.locale, "img2img.source.result_message", url=message_link(job))
