"""Builds the messages that show a job, from queued to finished."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Sequence

import discord
from PIL import Image

from bot.delivery.message import MessageContent, Upload
from bot.delivery.notification import LONG_SECONDS
from bot.i18n.durations import duration
from bot.i18n.translate import notice_of, translate
from bot.images.compose import shown_factor
from bot.jobs.job import Job, JobProgress, QueuePosition
from bot.jobs.options import options_of
from bot.moderation.appeal_button import AppealButton
from cogs.shared.job_buttons import Action, JobButton, JobMenu, rows
from cogs.shared.result_controls import result_actions, strength_menu
from cogs.shared.selection import selection_row
from cogs.shared.text import licence_text, model_text, plain, position_text, settings_text
from inference import Option, Preview, Task, unknown_words

# All texts of a message together have at most 4,000 characters. What users write is cut to these
# lengths; the settings in the file hold the whole.
# https://discord.com/developers/docs/components/reference#component-limits
PROMPT_CHARACTERS = 1200
NEGATIVE_CHARACTERS = 600
IGNORED_CHARACTERS = 80
UNKNOWN_CHARACTERS = 200
# The limit of an attachment's description.
# https://discord.com/developers/docs/resources/message#attachment-object
ALT_LIMIT = 1024
BAR_CELLS = 12
ACCENT = discord.Colour.from_str("#7c5cff")


def bar(fraction: float) -> str:
    """A progress bar of `BAR_CELLS` characters."""
    full = round(BAR_CELLS * min(max(fraction, 0.0), 1.0))
    return "▰" * full + "▱" * (BAR_CELLS - full)


def title(job: Job) -> str:
    """The user's prompt in bold, cut to what a message can hold."""
    return f"**{plain(job.shown_prompt, PROMPT_CHARACTERS)}**"


def credit(job: Job) -> str:
    """The credit: the user, and a note that AI made the picture."""
    key = "img2img.credit" if job.sources else "imagine.credit"
    return translate(job.locale, key, user=f"<@{job.user_id}>")


def alt_text(job: Job) -> str:
    """Alt text for a result: the prompt, and that the picture was made by AI."""
    key = "img2img.alt" if job.sources else "imagine.alt"
    text = translate(job.locale, key, prompt="{prompt}")
    room = ALT_LIMIT - len(text) + len("{prompt}")
    return text.replace("{prompt}", job.shown_prompt[:room])


class Img2ImgRenderer:
    """Renders every state of a job as one Components V2 container.

    `ready` tells whether the model is loaded, `can_share` whether a gallery may exist for a job,
    `favourites` whether users may have any, `styles` whether there are several, `tasks` what the
    configured models can do, `options_of` which settings had an effect on a job.
    """

    def __init__(
        self,
        ready: Callable[[], bool],
        can_share: Callable[[Job], bool] = lambda _job: True,
        *,
        favourites: bool = True,
        styles: bool = True,
        tasks: frozenset[Task] = frozenset({"img2img"}),
        options_of: Callable[[Job], frozenset[Option]] = options_of,
    ) -> None:
        self._ready = ready
        self._can_share = can_share
        self._favourites = favourites
        self._styles = styles
        self._tasks = tasks
        self._options_of = options_of

    def queued(self, job: Job, position: QueuePosition) -> MessageContent:
        """Waiting: the queue position, the estimate, a cancel button."""
        text = translate(
            job.locale,
            "img2img.queued" if job.sources else "imagine.queued",
            prompt=title(job),
            position=position_text(job.locale, position),
            source=job.source_names,
        )
        if not self._ready():
            text += "\n-# " + translate(job.locale, "img2img.loading")
        elif position.model is not None:
            text += "\n-# " + model_text(job.locale, position.model)
        text += _notice(job)
        return MessageContent(view=block(text, buttons=_waiting(job, position.seconds)))

    def running(self, job: Job, progress: JobProgress) -> MessageContent:
        """Running: a progress bar, the estimate, and the preview if there is one."""
        left = (
            translate(
                job.locale,
                "img2img.running.left",
                duration=duration(job.locale, progress.seconds_left),
            )
            if progress.seconds_left is not None
            else ""
        )
        text = translate(
            job.locale,
            "img2img.running" if job.sources else "imagine.running",
            prompt=title(job),
            bar=bar(progress.step / progress.total if progress.total else 0.0),
            step=progress.step,
            total=progress.total,
            left=left,
            source=job.source_names,
        )
        text += _notice(job)
        buttons = _waiting(job, progress.seconds_left)
        if progress.preview is None:
            return MessageContent(view=block(text, buttons=buttons))
        upload = Upload(
            name="preview.jpg",
            data=_enlarged(progress.preview, job),
            description=translate(job.locale, "img2img.preview"),
            spoiler=job.spoiler,
        )
        gallery = media_gallery([upload])
        return MessageContent(view=block(text, gallery, buttons=buttons), files=(upload,))

    def made(self, job: Job, pictures: Sequence[Upload]) -> MessageContent:
        """Finished: the pictures, the settings that reproduce them, and the buttons."""
        options = self._options_of(job)
        lines = []
        if part := _part_text(job):
            lines.append(part)
        if job.tile is not None:
            lines.append(translate(job.locale, "img2img.detail", tiles=job.tiles))
        if job.style is not None:
            lines.append(translate(job.locale, "img2img.style", style=plain(job.style)))
        if job.shown_negative_prompt:
            negative = plain(job.shown_negative_prompt, NEGATIVE_CHARACTERS)
            lines.append(translate(job.locale, "img2img.negative", negative=negative))
        if job.layout != "part":
            took = duration(job.locale, job.seconds or 0.0)
            time = translate(job.locale, "img2img.setting.seconds", duration=took)
            lines.append("-# " + settings_text(job, job.locale, options, time))
        if (licence := licence_text(job, job.locale)) is not None:
            lines.append(licence)
        lines.append(
            translate(
                job.locale,
                "img2img.source" if job.sources else "imagine.source",
                source=job.source_names,
                user=f"<@{job.user_id}>",
            )
        )
        if job.ignored_prompt:
            ignored = plain(job.ignored_prompt, IGNORED_CHARACTERS)
            lines.append(translate(job.locale, "img2img.ignored", text=ignored))
        if unknown := ", ".join(unknown_words(job.model, job.shown_prompt)):
            words = plain(unknown, UNKNOWN_CHARACTERS)
            lines.append(translate(job.locale, "img2img.unknown_words", words=words))
        actions = result_actions(
            job,
            self._tasks,
            options,
            share=self._can_share(job),
            favourites=self._favourites,
            styles=self._styles,
        )
        view = block(
            title(job),
            media_gallery(pictures),
            "\n".join(lines),
            selection=selection_row(job),
            menu=strength_menu(job, self._tasks, options),
            buttons=[JobButton(action, job, label=_label(action, job)) for action in actions],
        )
        return MessageContent(view=view, files=tuple(pictures))

    def failed(self, job: Job) -> MessageContent:
        """Failed: the sentence, and the job's id for the operator."""
        text = translate(
            job.locale,
            "img2img.failed",
            prompt=title(job),
            sentence=job.error or "",
            job=job.id,
        )
        view = block(text)
        if job.case_id is not None:
            appeal = AppealButton(job.case_id, job.locale)
            view.add_item(discord.ui.ActionRow[discord.ui.LayoutView](appeal))
        return MessageContent(view=view)

    def cancelled(self, job: Job) -> MessageContent:
        """Cancelled by the owner or a moderator."""
        text = translate(job.locale, "img2img.cancelled", prompt=title(job))
        return MessageContent(view=block(text))


def block(
    *items: discord.ui.MediaGallery[discord.ui.LayoutView] | str,
    selection: Sequence[JobButton] = (),
    menu: JobMenu | None = None,
    buttons: Sequence[JobButton] = (),
) -> discord.ui.LayoutView:
    """A message of one container: texts and pictures in their order, then the buttons.

    The `selection` and the `menu` have rows of their own.
    """
    container = discord.ui.Container[discord.ui.LayoutView](accent_colour=ACCENT)
    for item in items:
        container.add_item(discord.ui.TextDisplay(item) if isinstance(item, str) else item)
    menus = [] if menu is None else [discord.ui.ActionRow[discord.ui.LayoutView](menu)]
    for row in [*rows(selection), *menus, *rows(buttons)]:
        container.add_item(row)
    view = discord.ui.LayoutView(timeout=None)
    view.add_item(container)
    return view


def media_gallery(pictures: Iterable[Upload]) -> discord.ui.MediaGallery[discord.ui.LayoutView]:
    """The attached pictures, with their alt texts and spoilers."""
    gallery = discord.ui.MediaGallery[discord.ui.LayoutView]()
    for picture in pictures:
        gallery.add_item(
            media=f"attachment://{picture.filename}",
            description=picture.description,
            spoiler=picture.spoiler,
        )
    return gallery


def _enlarged(preview: Preview, job: Job) -> bytes:
    """A preview has one pixel per latent. Enlarge it to half the size of the result, as JPEG."""
    image = Image.frombytes("RGB", (preview.width, preview.height), preview.pixels)
    factor = shown_factor(job.width, job.height)
    size = (job.width * factor // 2, job.height * factor // 2)
    image = image.resize(size, Image.Resampling.BICUBIC)
    out = io.BytesIO()
    image.save(out, "JPEG", quality=80)
    return out.getvalue()


def _part_text(job: Job) -> str:
    """Which part of the picture is redrawn; empty if all of it is."""
    part = "mask" if job.mask is not None and job.part == "everything" else job.part
    if part == "everything" and job.layout != "part":
        return ""
    name = translate(job.locale, f"img2img.part.{part}")
    shown = "part.shown" if job.layout == "part" else "part.redrawn"
    return translate(job.locale, f"img2img.{shown}", part=name)


def _label(action: Action, job: Job) -> str | None:
    """The label of a button, where it is not the action's usual one."""
    if action is Action.AGAIN and job.layout == "part":
        return translate(job.locale, "img2img.button.redraw_part")
    return None


def _waiting(job: Job, seconds: float | None) -> list[JobButton]:
    """The buttons of a job that waits or runs for about so long: a long one offers to notify."""
    actions = [Action.CANCEL]
    if seconds is not None and seconds > LONG_SECONDS:
        actions.append(Action.NOTIFY)
    return [JobButton(action, job) for action in actions]


def _notice(job: Job) -> str:
    """The model's notice as a line of its own, shown while the job waits and runs."""
    notice = notice_of(job.locale, job.model)
    return f"\n-# {notice}" if notice else ""
