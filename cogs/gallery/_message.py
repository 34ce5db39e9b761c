"""The message that shows a result in the gallery."""

from __future__ import annotations

from bot.client import Services
from bot.delivery.attachments import encode_job
from bot.delivery.message import MessageContent
from bot.jobs.job import Job
from cogs.shared.access import ChannelFacts
from cogs.shared.job_buttons import Action, JobButton
from cogs.shared.renderer import alt_text, block, credit, media_gallery, title


async def render_shared(services: Services, job: Job, gallery: ChannelFacts) -> MessageContent:
    """The prompt, the pictures and the owner's name.

    The message shows neither the source nor the settings, and its files hold no settings. Its
    buttons act on the message itself.

    Raises:
        StoredPictureMissing: a result is not stored any more.
        ResultRefused, ResultNotChecked: a result may not be posted in the gallery.
        DoesNotFit: the pictures are too large for the upload limit.
    """
    results = [
        await services.store.pictures.get(variant.result)
        for variant in job.variants
        if variant.result
    ]
    for picture in results:
        await services.checks.check_post(picture, gallery.guild_id, gallery.id)
    files = await encode_job(job, results, alt=alt_text(job), options=None)
    buttons = [JobButton(Action.REPORT, job), JobButton(Action.REMOVE, job)]
    view = block(title(job), media_gallery(files), credit(job), buttons=buttons)
    return MessageContent(view=view, files=files)
