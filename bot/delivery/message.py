"""What delivery sends: a view with its files, and the protocol of the renderer that builds it."""

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
    """A file to attach: bytes, so that an attempt can be repeated. `description` is alt text."""

    name: str
    data: bytes
    description: str
    spoiler: bool = False

    @property
    def filename(self) -> str:
        """The name that Discord gets: the prefix `SPOILER_` marks a spoiler."""
        return f"SPOILER_{self.name}" if self.spoiler else self.name

    def file(self) -> discord.File:
        """A new file object for one attempt."""
        return discord.File(BytesIO(self.data), self.filename, description=self.description)


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageContent:
    """The content of a message: a Components V2 view and the files that it shows."""

    view: discord.ui.LayoutView
    files: tuple[Upload, ...] = ()


EncodePictures = Callable[[Job, Sequence[Picture]], Awaitable[tuple[Upload, ...]]]
"""Compresses a job's pictures so that each fits `job.destination.upload_limit`."""


class JobRenderer(Protocol):
    """Builds the message of each state of a job. Delivery only sends it."""

    def queued(self, job: Job, position: QueuePosition) -> MessageContent:
        """The job waits."""
        ...

    def running(self, job: Job, progress: JobProgress) -> MessageContent:
        """The job runs; `progress.preview` may hold a small picture."""
        ...

    def made(self, job: Job, pictures: Sequence[Upload]) -> MessageContent:
        """The pictures, with settings and buttons."""
        ...

    def failed(self, job: Job) -> MessageContent:
        """The job failed; `job.error` is the sentence."""
        ...

    def cancelled(self, job: Job) -> MessageContent:
        """The owner or a moderator cancelled the job."""
        ...
