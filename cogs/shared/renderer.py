"""What a job looks like in Discord, from queued to done."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Sequence

import discord
from PIL import Image

from bot.delivery.message import MessageContent, Upload
from bot.i18n.translate import notice_of, translate
from bot.images.compose import shown_factor
from bot.jobs.job import Job, JobProgress, QueuePosition
from cogs.shared.job_buttons import FINISHED, JobButton, button, rows
from inference import Preview

# A text display and the whole view hold 4,000 characters; alt text 1,024. A prompt may have
# 1,000 characters, so that shown prompts are cut only where several are shown.
# https://discord.com/developers/docs/components/reference#text-display
ALT_LIMIT = 1024
BAR_CELLS = 12
ACCENT = discord.Colour.from_str("#7c5cff")


def duration(locale: str, seconds: float) -> str:
    """Seconds, minutes or hours in a person's words: `8 s`, `3 min`, `2 h`."""
    if seconds < 90:
        return translate(locale, "img2img.seconds", n=max(1, round(seconds)))
    if seconds < 90 * 60:
        return translate(locale, "img2img.minutes", n=round(seconds / 60))
    return translate(locale, "img2img.hours", n=round(seconds / 3600))


def bar(fraction: float) -> str:
    """A progress bar of `BAR_CELLS` characters."""
    full = round(BAR_CELLS * min(max(fraction, 0.0), 1.0))
    return "▰" * full + "▱" * (BAR_CELLS - full)


def _bold(prompt: str) -> str:
    return f"**{discord.utils.escape_markdown(prompt)}**"


class Img2ImgRenderer:
    """Draws every state of a job as one block of Components V2.

    `ready` tells whether the model is loaded.
    """

    def __init__(self, ready: Callable[[], bool]) -> None:
        self._ready = ready

    def queued(self, job: Job, position: QueuePosition) -> MessageContent:
        """Accepted and waiting: the place, the estimate, a cancel button."""
        where = (
            translate(job.locale, "img2img.place.ahead", ahead=position.ahead)
            if position.ahead
            else translate(job.locale, "img2img.place.next")
        )
        if position.seconds is not None:
            where = translate(
                job.locale,
                "img2img.place.seconds",
                position=where,
                duration=duration(job.locale, position.seconds),
            )
        text = translate(
            job.locale,
            "img2img.queued",
            prompt=_bold(job.prompt),
            position=where,
            source=job.source_name,
        )
        if not self._ready():
            text += "\n-# " + translate(job.locale, "img2img.loading")
        return MessageContent(view=self._block(job, text, buttons=[button("cancel", job)]))

    def running(self, job: Job, progress: JobProgress) -> MessageContent:
        """A progress bar with step and seconds left, and the preview if there is one."""
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
            "img2img.running",
            prompt=_bold(job.prompt),
            bar=bar(progress.step / progress.total if progress.total else 0.0),
            step=progress.step,
            total=progress.total,
            left=left,
            source=job.source_name,
        )
        buttons = [button("cancel", job)]
        if progress.preview is None:
            return MessageContent(view=self._block(job, text, buttons=buttons))
        upload = Upload(
            name="preview.jpg",
            data=_enlarged(progress.preview, job),
            description=translate(job.locale, "img2img.preview"),
            spoiler=job.spoiler,
        )
        gallery = _gallery([upload])
        return MessageContent(
            view=self._block(job, text, gallery, buttons=buttons), files=(upload,)
        )

    def made(self, job: Job, pictures: Sequence[Upload]) -> MessageContent:
        """The pictures and, below them, everything that is needed to make them again."""
        lines = []
        if job.negative_prompt:
            negative = discord.utils.escape_markdown(job.negative_prompt)
            lines.append(translate(job.locale, "img2img.negative", negative=negative))
        lines.append(
            translate(
                job.locale,
                "img2img.settings",
                strength=_each(f"{variant.strength:g}" for variant in job.variants),
                steps=job.steps,
                guidance=f"{job.guidance_scale:g}",
                seed=_each(str(variant.seed) for variant in job.variants),
                width=job.width,
                height=job.height,
                duration=duration(job.locale, job.seconds or 0.0),
            )
        )
        lines.append(
            translate(
                job.locale,
                "img2img.source",
                source=job.source_name,
                user=f"<@{job.user_id}>",
            )
        )
        if job.ignored_prompt:
            ignored = discord.utils.escape_markdown(job.ignored_prompt)
            lines.append(translate(job.locale, "img2img.ignored", text=ignored))
        if notice := notice_of(job.locale, job.model):
            lines.append(f"-# {notice}")
        gallery = _gallery(pictures)
        names = [name for name in FINISHED if name != "depth" or job.depth]
        if job.layout == "grid":
            # One sheet of several: what acts on a single picture would have to guess.
            names = [name for name in names if name not in ("strengths", "compare", "larger")]
        if not job.destination.private or job.destination.guild_id is not None:
            names.insert(-1, "share")
        buttons = [button(name, job) for name in names]
        view = self._block(job, _bold(job.prompt), gallery, "\n".join(lines), buttons=buttons)
        return MessageContent(view=view, files=tuple(pictures))

    def failed(self, job: Job) -> MessageContent:
        """One sentence, and the job's id for the operator."""
        text = translate(
            job.locale,
            "img2img.failed",
            prompt=_bold(job.prompt),
            sentence=job.error or "",
            job=job.id,
        )
        return MessageContent(view=self._block(job, text))

    def cancelled(self, job: Job) -> MessageContent:
        """The owner or a moderator ended it."""
        text = translate(job.locale, "img2img.cancelled", prompt=_bold(job.prompt))
        return MessageContent(view=self._block(job, text))

    def alt(self, job: Job) -> str:
        """Alt text for a result: what was asked for, and that a machine made it."""
        text = translate(job.locale, "img2img.alt", prompt="{prompt}")
        room = ALT_LIMIT - len(text) + len("{prompt}")
        return text.replace("{prompt}", job.prompt[:room])

    def _block(
        self,
        job: Job,
        text: str,
        *items: discord.ui.MediaGallery[discord.ui.LayoutView] | str,
        buttons: Sequence[JobButton] = (),
    ) -> discord.ui.LayoutView:
        container = discord.ui.Container[discord.ui.LayoutView](accent_colour=ACCENT)
        container.add_item(discord.ui.TextDisplay(text))
        for item in items:
            container.add_item(discord.ui.TextDisplay(item) if isinstance(item, str) else item)
        for row in rows(list(buttons)):
            container.add_item(row)
        view = discord.ui.LayoutView(timeout=None)
        view.add_item(container)
        return view


def _gallery(pictures: Iterable[Upload]) -> discord.ui.MediaGallery[discord.ui.LayoutView]:
    gallery = discord.ui.MediaGallery[discord.ui.LayoutView]()
    for picture in pictures:
        gallery.add_item(
            media=f"attachment://{picture.filename}",
            description=picture.description,
            spoiler=picture.spoiler,
        )
    return gallery


def _enlarged(preview: Preview, job: Job) -> bytes:
    """One pixel a latent is small; half of the size that the picture will have is enough."""
    image = Image.frombytes("RGB", (preview.width, preview.height), preview.pixels)
    factor = shown_factor(job.width, job.height)
    size = (job.width * factor // 2, job.height * factor // 2)
    image = image.resize(size, Image.Resampling.BICUBIC)
    out = io.BytesIO()
    image.save(out, "JPEG", quality=80)
    return out.getvalue()


def _each(values: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(values))
