"""The buttons and the menu below a result."""

from __future__ import annotations

from bot.i18n.translate import translate
from bot.jobs.job import Job
from cogs.shared.job_buttons import Action, JobMenu
from inference import Option, Task

# The buttons of a result, in their order.
RESULT_ACTIONS = (
    Action.AGAIN,
    Action.VARY,
    Action.VARY_STRONG,
    Action.EDIT,
    Action.USE,
    Action.STRENGTHS,
    Action.STYLES,
    Action.COMPARE,
    Action.DEPTH,
    Action.LARGER,
    Action.FAVOURITE,
    Action.SHARE,
    Action.DELETE,
)
# The strengths in the menu: from almost the source to its shapes only.
STRENGTHS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


def result_actions(
    job: Job,
    tasks: frozenset[Task],
    options: frozenset[Option],
    *,
    share: bool,
    favourites: bool,
    styles: bool,
) -> list[Action]:
    """The buttons that the job's result has, where the configured models have these `tasks`.

    `options`: the settings that had an effect on the job; `share`: a gallery may exist;
    `favourites`: users may have any; `styles`: there are several.
    """
    if job.layout == "part":
        return [Action.AGAIN, Action.EDIT, Action.DELETE]
    hidden: set[Action] = set()
    if not favourites:
        hidden.add(Action.FAVOURITE)
    if job.depth is None:
        hidden.add(Action.DEPTH)
    if job.layout == "grid":
        hidden |= {Action.STRENGTHS, Action.STYLES}
    if job.source is None:
        hidden.add(Action.COMPARE)
    if job.task != "img2img":
        # A style would be taken for a part of an instruction.
        hidden |= {Action.STRENGTHS, Action.STYLES}
    if "img2img" not in tasks:
        hidden |= {Action.VARY, Action.VARY_STRONG, Action.STRENGTHS}
    if job.tile is not None:
        # These take a picture of the model's own size, or would take many times as long.
        hidden |= {Action.VARY, Action.VARY_STRONG, Action.STRENGTHS, Action.STYLES}
        hidden |= {Action.EDIT, Action.LARGER}
    if tasks.isdisjoint(("img2img", "edit")):
        hidden.add(Action.USE)
    if "strength" not in options:
        hidden.add(Action.STRENGTHS)
    if not styles:
        hidden.add(Action.STYLES)
    if not share:
        hidden.add(Action.SHARE)
    return [action for action in RESULT_ACTIONS if action not in hidden]


def strength_menu(job: Job, tasks: frozenset[Task], options: frozenset[Option]) -> JobMenu | None:
    """A menu that submits the same request at another strength; none for a sheet of several, for a
    picture in tiles, and where a strength has no effect."""
    offered = "img2img" in tasks and "strength" in options
    if job.layout != "pictures" or job.tile is not None or not offered:
        return None
    strength = f"{job.variants[0].strength:g}"
    others = [text for each in STRENGTHS if (text := f"{each:g}") != strength]
    label = "img2img.menu.strength"
    return JobMenu(
        Action.STRENGTH,
        job,
        {text: translate(job.locale, label, strength=text) for text in others},
        placeholder=translate(job.locale, "img2img.menu.other_strength", strength=strength),
    )
