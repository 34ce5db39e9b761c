"""Which settings of a request had an effect on a job: it depends on its model and its task."""

from __future__ import annotations

from bot.jobs.job import Job
from inference import ALL_OPTIONS, MODELS, ModelEntry, Option, Task


def options_of(job: Job, configured: ModelEntry | None = None) -> frozenset[Option]:
    """The settings that the job's model has for the job's task.

    `configured` is the model's configured entry, if there is one; else that of the catalogue
    counts, and a model that is in neither has all settings of any pipeline.
    """
    entry = configured or MODELS.get(job.model)
    return options_for(job.task, ALL_OPTIONS if entry is None else entry.options)


def options_for(task: Task, options: frozenset[Option]) -> frozenset[Option]:
    """The settings that a model with these `options` has for a task: only a picture that is redrawn
    has a strength and a depth map, and a text has nothing to mask."""
    match task:
        case "img2img":
            return options
        case "edit":
            return options - {"strength", "part", "structure"}
        case "text2img":
            return options - {"strength", "part", "structure", "mask"}
