"""What delivery sends: a view with its files, and who builds it from a job."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Protocol

import discord

from bot.images.picture import Picture
from bot.jobs.job import Job, JobProgress, QueuePosition


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A file to attach: bytes, so that an attempt can be repeated."""

    name: str
    data: bytes
    description: str
    spoiler: bool = False

    @property
    def filename(self) -> str:
        """The name as Discord gets it: a spoiler is one by its name."""
        return f"SPOILER_{self.name}" if self.spoiler else self.name

    def file(self) -> discord.File:
        """A fresh file for one attempt."""
        return discord.File(BytesIO(self.data), self.filename, description=self.description)


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageContent:
    """What a message becomes: a Components V2 view and the files that it shows."""

    view: discord.ui.LayoutView
    files: tuple[Upload, ...] = ()


EncodePictures = Callable[[Job, Sequence[Picture]], Awaitable[tuple[Upload, ...]]]
"""Compresses a job's pictures to fit `job.destination.upload_limit` together."""


class JobRenderer(Protocol):
    """Turns a job into what a person sees. The cog implements it; delivery only sends it."""

    def queued(self, job: Job, position: QueuePosition) -> MessageContent:
        """Accepted and waiting."""
        ...

    def running(self, job: Job, progress: JobProgress) -> MessageContent:
        """A step was taken; `progress.preview` may carry a small picture."""
        ...

    def made(self, job: Job, pictures: Sequence[Upload]) -> MessageContent:
        """The pictures, with settings and buttons."""
        ...

    def failed(self, job: Job) -> MessageContent:
        """`job.error` is the sentence."""
        ...

    def cancelled(self, job: Job) -> MessageContent:
        """The owner or a moderator ended it."""
        ...
