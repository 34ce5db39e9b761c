"""The menu below an enlarged picture that redraws it with new detail.

The finished picture is enlarged and redrawn in tiles, as a new job with its prompts.
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from bot.client import Services
from bot.i18n.translate import translate
from bot.images.compose import shown_factor
from bot.images.enlargement import enlarge_to, size_within
from bot.jobs.job import Job
from cogs.img2img._selected import selected_result, selected_variant, stored_picture
from cogs.img2img._submit import as_task, result_as_source
from cogs.requests.new_detail import LargestAlready, NewDetailOfPart
from cogs.requests.pictures.stored_source import StoredSource
from cogs.requests.request import submit_request
from cogs.shared.access import AccessRule
from cogs.shared.job_buttons import Action, Interaction, JobAction, JobMenu

Size = tuple[int, int]

STRENGTHS = {
    "0.2": "img2img.detail.little",
    "0.3": "img2img.detail.some",
    "0.4": "img2img.detail.much",
}
"""The strengths in the menu, and the keys of their labels."""


class Detail(JobAction):
    """The menu: redraw the result at twice its posted size in tiles, at the chosen strength."""

    action = Action.DETAIL
    access = AccessRule.RESULT
    times: ClassVar[int] = 2

    async def run(self, interaction: Interaction, job: Job) -> None:
        """Submit the request.

        Raises:
            UserError: the picture cannot be redrawn with new detail, or the request is refused.
        """
        services = interaction.client.services
        if not _is_redrawn_whole(job):
            raise NewDetailOfPart
        size = _size(services, job, self.times)
        if size is None:
            raise LargestAlready(limit=services.settings.larger_max_side)
        result = selected_result(job, self)
        draft = dataclasses.replace(
            await as_task(interaction, job, "img2img", selected_variant(job, self)),
            strength=float(self.chosen[0]),
            count=1,
            tile=_tile(job),
        )
        expected = dataclasses.replace(
            result_as_source(interaction, job, result, "img2img"),
            stored=None,
            width=size[0],
            height=size[1],
            structure=None,
        )

        async def enlarged() -> StoredSource:
            picture = await stored_picture(services, result)
            large = await services.slow_work.run(
                interaction.user.id, lambda: enlarge_to(picture, size)
            )
            return dataclasses.replace(expected, stored=await services.store.pictures.put(large))

        await submit_request(interaction, draft, enlarged, expected=expected)


class DetailStill(Detail):
    """Redraw the result at four times its posted size."""

    action = Action.DETAIL4
    times = 4


DETAIL_MENUS = (Detail, DetailStill)


def detail_menu(services: Services, job: Job, number: int, times: int) -> JobMenu | None:
    """The menu below a picture that is shown `times` as large as it was posted; None where the
    model, the operator's limit or the job does not allow new detail."""
    model = services.models.find(job.model)
    able = model is not None and model.redraws_in_tiles(*_tile(job))
    size = _size(services, job, times)
    if not able or size is None or not _is_redrawn_whole(job):
        return None
    action = Action.DETAIL if times == Detail.times else Action.DETAIL4
    labels = {
        strength: translate(job.locale, key, strength=strength)
        for strength, key in STRENGTHS.items()
    }
    placeholder = translate(job.locale, "img2img.menu.detail", width=size[0], height=size[1])
    return JobMenu(action, job, labels, placeholder=placeholder, number=number)


def _is_redrawn_whole(job: Job) -> bool:
    return job.part == "everything" and job.mask is None


def _tile(job: Job) -> Size:
    """The tiles have the size of the job's picture, or of its tiles."""
    return job.tile or (job.width, job.height)


def _size(services: Services, job: Job, times: int) -> Size | None:
    factor = times * shown_factor(job.width, job.height)
    return size_within(job.width, job.height, factor, services.settings.larger_max_side)
