"""Parts of messages: users' texts without markup, links or mentions, positions, settings."""

from __future__ import annotations

import re
from collections.abc import Iterable

from discord.utils import escape_markdown

from bot.i18n.durations import duration
from bot.i18n.translate import translate
from bot.jobs.job import Job, QueuePosition
from inference import MODELS, ModelState, ModelStatus, Option

# Discord makes links of `scheme://` and of the addresses of invitations, also without a scheme.
# A zero-width space in the middle keeps the text readable and stops that.
# Not only at the start of a word: Discord makes a link of `_https://` and `éhttps://`, too.
_SCHEME = re.compile(r":(?=//)")
_INVITATION = re.compile(r"(discord(?:app)?)\.(?=[a-z]{2,})", re.IGNORECASE)
_BREAK = "\u200b"
# A name as a reader recognises a file by.
FILE_NAME_CHARACTERS = 60


def plain(text: str, limit: int | None = None) -> str:
    """`text` with all of Discord's markup escaped, links and mentions included.

    The result has at most `limit` characters; a text that is cut ends with "…".
    """
    shown = _escape(text)
    if limit is None or len(shown) <= limit:
        return shown
    fits, too_long = 0, len(text)
    while too_long - fits > 1:
        middle = (fits + too_long) // 2
        if len(_escape(text[:middle])) < limit:
            fits = middle
        else:
            too_long = middle
    return _escape(text[:fits].rstrip()) + "…"


def file_name(name: str) -> str:
    """The name of a file as a message shows it: plain and without the prefix of spoilers."""
    return plain(name.removeprefix("SPOILER_"), FILE_NAME_CHARACTERS)


def position_text(locale: str, position: QueuePosition) -> str:
    """A queue position, with the time until the job is finished if there is an estimate."""
    where = (
        translate(locale, "img2img.position.ahead", ahead=position.ahead)
        if position.ahead
        else translate(locale, "img2img.position.next")
    )
    if position.seconds is None:
        return where
    return translate(
        locale,
        "img2img.position.seconds",
        position=where,
        duration=duration(locale, position.seconds),
    )


def model_text(locale: str, model: ModelStatus) -> str:
    """A note that a model is downloaded, with the progress; or that it is or will be loaded, with
    the seconds that it took the last time."""
    keys = {
        ModelState.DOWNLOADING: "models.downloading",
        ModelState.LOADING: "models.loading",
    }
    text = translate(locale, keys.get(model.state, "models.unloaded"), model=plain(model.name))
    seconds = model.load_seconds
    if model.state is ModelState.DOWNLOADING:
        seconds = None
        if model.download is not None:
            seconds = model.download.seconds_left
            text = translate(locale, "models.percent", text=text, percent=model.download.percent)
    if seconds is None:
        return text
    return translate(locale, "models.seconds", text=text, duration=duration(locale, seconds))


def _escape(text: str) -> str:
    text = _SCHEME.sub(f":{_BREAK}", text)
    text = _INVITATION.sub(rf"\1{_BREAK}.", text)
    # Mentions, timestamps and custom emoji start with "<"; @everyone and @here do not.
    text = text.replace("<", f"<{_BREAK}").replace("@", f"@{_BREAK}")
    return escape_markdown(text, ignore_links=False)


def settings_text(job: Job, locale: str, options: frozenset[Option], *more: str) -> str:
    """The model and the settings that had an effect on a job (`options`), with the size of its
    pictures, and then `more`."""
    values: dict[str, str | int] = {
        "strength": _strengths(job),
        "steps": job.steps,
        "guidance": f"{job.guidance_scale:g}",
        "seed": _each(str(variant.seed) for variant in job.variants),
    }
    parts = [
        translate(locale, f"img2img.setting.{name}", **{name: value})
        for name, value in values.items()
        if name in options or name in ("steps", "seed")
    ]
    model = (plain(job.model),) if job.model else ()
    return " · ".join((*model, *parts, f"{job.width} × {job.height} px", *more))


def _strengths(job: Job) -> str:
    """Each strength; of a sheet of styles, where several have the same one, the range."""
    strengths = [variant.strength for variant in job.variants]
    low, high = min(strengths), max(strengths)
    if job.variants[0].style is not None and low < high:
        return f"{low:g}–{high:g}"
    return _each(f"{strength:g}" for strength in strengths)


def licence_text(job: Job, locale: str) -> str | None:
    """A note that the job's model may not be used commercially; None if it may or is unknown."""
    entry = MODELS.get(job.model)
    if entry is None or entry.commercial_use is not False:
        return None
    return translate(locale, "models.non_commercial", model=plain(entry.name))


def _each(values: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(values))
