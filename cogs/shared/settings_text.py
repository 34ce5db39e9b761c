"""The settings of a job as users read them."""

from __future__ import annotations

from collections.abc import Iterable

from bot.i18n.translate import translate
from bot.jobs.job import Job
from bot.jobs.options import options_of


def settings_text(job: Job, locale: str, *more: str) -> str:
    """The settings that had an effect on a job, with the size of its pictures, and then `more`."""
    options = options_of(job)
    values = {
        "strength": _each(f"{variant.strength:g}" for variant in job.variants),
        "steps": str(job.steps),
        "guidance": f"{job.guidance_scale:g}",
        "seed": _each(str(variant.seed) for variant in job.variants),
    }
    parts = [
        translate(locale, f"img2img.setting.{name}", **{name: value})
        for name, value in values.items()
        if name in options or name in ("steps", "seed")
    ]
    return " · ".join((*parts, f"{job.width} × {job.height}", *more))


def _each(values: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(values))
