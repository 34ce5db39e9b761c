"""Forms about an earlier job, without the settings that the model of the new request lacks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from bot.client import Services
from bot.i18n.lists import Listed
from bot.i18n.translate import translate
from bot.jobs.job import Job
from cogs.requests.draft import Draft
from cogs.requests.pictures.stored_source import StoredSource
from cogs.requests.tasks import model_for, settings_it_lacks

# Setting → the changes of a draft and of a source that leave it out.
_WITHOUT: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "negative_prompt": ({"negative_prompt": ""}, {}),
    "strength": ({"strength": None}, {}),
    "guidance": ({"guidance": None}, {}),
    "part": ({"part": "everything", "part_threshold": None}, {}),
    "threshold": ({"part_threshold": None}, {}),
    "mask": ({}, {"mask": None}),
    "structure": ({}, {"structure": None}),
}


def without_missing_settings(
    services: Services, draft: Draft, source: StoredSource, job: Job, locale: str
) -> tuple[Draft, StoredSource, str]:
    """The draft and the source of a form without the settings that the draft's model does not
    have, and a note for the form that names them.

    The note also says if the job's model is not configured any more. It is empty otherwise.

    Raises:
        ModelNotOffered, ModelLacksTask, TaskNotOffered: see `model_for`.
    """
    model = model_for(services, draft.task, draft.model)
    notes = []
    if services.models.find(job.model) is None:
        notes.append(translate(locale, "form.model_gone", gone=job.model, model=model.name))
    lacking = settings_it_lacks(model, replace(draft, guides=source.guides))
    for name in lacking:
        of_draft, of_source = _WITHOUT[name]
        draft, source = replace(draft, **of_draft), replace(source, **of_source)
    if lacking:
        names = [f"`{translate(locale, f'img2img.name.{name}')}`" for name in lacking]
        settings = Listed(tuple(names)).localized(locale)
        notes.append(translate(locale, "form.left_out", model=model.name, settings=settings))
    return draft, source, " ".join(notes)
