"""A job: one user's accepted request. Immutable; the store makes all changes."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from inference import ModelStatus, Part, Preview, Task, tile_count

# Instead of the content hash of an input that was deleted before its job.
DELETED = ""


class JobState(StrEnum):
    """`MADE`: the pictures are stored. `DELIVERED`: the user has them. The user of a `FAILED` or
    `CANCELLED` job has been told once `Job.finished_at` is set."""

    QUEUED = "queued"
    RUNNING = "running"
    MADE = "made"
    DELIVERED = "delivered"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def finished(self) -> bool:
        """No more pictures will be made in this state."""
        return self in (JobState.DELIVERED, JobState.FAILED, JobState.CANCELLED)


def new_job_id() -> str:
    """16 hex digits: fits a custom id, and a message nonce (25 characters at most)."""
    return secrets.token_hex(8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One picture of a job; a job has 1 to 6. `result` is the content hash once it is made.

    On a sheet of styles, each variant has a `style` and the prompts that it made of the user's.
    """

    seed: int
    strength: float
    style: str | None = None
    prompt: str | None = None
    negative_prompt: str | None = None
    result: str | None = None

    @property
    def label(self) -> str:
        """The label of the variant on a sheet: its style, else its strength."""
        return self.style or f"{self.strength:g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A further picture of a job that edits: its content hash, its size, its name as users read
    it, and the channel of the message that it was taken from."""

    stored: str
    width: int
    height: int
    name: str
    channel_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """The message that will be edited into the answer.

    `token` is the interaction token, valid until `token_expires_at` (seconds since the epoch);
    both are None for an ordinary message of the bot. The token is a secret; `repr` omits it.
    `private` (ephemeral) messages can be edited with the token only. `upload_limit` is in bytes.
    """

    application_id: int
    channel_id: int
    guild_id: int | None
    message_id: int
    token: str | None = field(default=None, repr=False)
    token_expires_at: float | None = None
    private: bool = False
    upload_limit: int = 10 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One accepted request. Times are seconds since the epoch; pictures are content hashes, or
    `DELETED`.

    A job that draws from text has no `source`, and an empty `source_name`. `references` are the
    further pictures of a job that edits. `width` and `height` are the size of the result.

    `attempts` counts the attempts that ended with the worker's death, `bot_deaths` those that ended
    with the end of the bot's own process, unless it was stopped in order. `seconds` is the duration
    of the last attempt.
    `finished_at` is when its user was answered. `post_channel_id` and `post_since` are set before
    the answer is sent as a new message, so that after a restart the bot knows where to look for a
    message that may have arrived.
    """

    id: str
    user_id: int
    destination: Destination
    source: str | None
    source_name: str
    width: int
    height: int
    prompt: str
    negative_prompt: str
    steps: int
    guidance_scale: float
    variants: tuple[Variant, ...]
    task: Task = "img2img"
    references: tuple[Reference, ...] = ()
    # `part` shows the part that would be redrawn, and runs no step.
    layout: Literal["pictures", "grid", "part"] = "pictures"
    # See `ImageRequest`; `mask` and `structure` are pictures of the job's size.
    part: Part = "everything"
    part_threshold: float | None = None
    mask: str | None = None
    structure: str | None = None
    # Width and height of the tiles of a picture that is larger than the model's.
    tile: tuple[int, int] | None = None
    style: str | None = None
    # What the user wrote, where a style made `prompt` and `negative_prompt` of it.
    user_prompt: str | None = None
    user_negative_prompt: str | None = None
    spoiler: bool = False
    # Whether the job or its source belongs to an age-restricted channel.
    age_restricted: bool = False
    # The channel of the message that the source was taken from.
    source_channel_id: int | None = None
    # The gallery message that shows the result; the channel is set before it is sent.
    share_channel_id: int | None = None
    share_message_id: int | None = None
    parent_id: str | None = None
    locale: str = "en-US"
    weight: int = 1
    model: str = ""
    ignored_prompt: str = ""
    depth: str | None = None
    state: JobState = JobState.QUEUED
    attempts: int = 0
    bot_deaths: int = 0
    error: str | None = None
    # The moderation case about the result, where its user may appeal it.
    case_id: int | None = None
    seconds: float | None = None
    created_at: float
    started_at: float | None = None
    finished_at: float | None = None
    post_channel_id: int | None = None
    post_since: float | None = None

    def steps_of(self, variant: Variant) -> int:
        """The denoising steps of a variant, counted as in `ImageRequest`: once for each tile."""
        return max(1, int(self.steps * variant.strength)) * self.tiles

    @property
    def tiles(self) -> int:
        """The number of tiles of each picture; 1 without tiles."""
        return tile_count((self.width, self.height), self.tile)

    def prompt_of(self, variant: Variant) -> str:
        """The prompt of a variant, as the model reads it."""
        return self.prompt if variant.prompt is None else variant.prompt

    def negative_prompt_of(self, variant: Variant) -> str:
        """The negative prompt of a variant, as the model reads it."""
        if variant.negative_prompt is None:
            return self.negative_prompt
        return variant.negative_prompt

    @property
    def shown_prompt(self) -> str:
        """The prompt as the user wrote it."""
        return self.prompt if self.user_prompt is None else self.user_prompt

    @property
    def shown_negative_prompt(self) -> str:
        """The negative prompt as the user wrote it."""
        if self.user_negative_prompt is None:
            return self.negative_prompt
        return self.user_negative_prompt

    @property
    def missing(self) -> tuple[int, ...]:
        """The numbers of the variants that are not made yet."""
        return tuple(n for n, variant in enumerate(self.variants) if variant.result is None)

    @property
    def total_steps(self) -> int:
        """Denoising steps of all variants together."""
        return sum(map(self.steps_of, self.variants))

    @property
    def pixels_of_step(self) -> int:
        """The pixels that each step works on: those of a tile, where it has tiles. A model that
        edits reads those of every picture."""
        width, height = self.tile or (self.width, self.height)
        pixels = width * height
        if self.task == "edit":
            pixels *= 2
        return pixels + sum(reference.width * reference.height for reference in self.references)

    def cost_of(self, variant: Variant) -> float:
        """The work of a variant: denoising steps times pixels."""
        return float(self.steps_of(variant) * self.pixels_of_step)

    @property
    def cost(self) -> float:
        """The work that is left, to compare jobs with."""
        return sum(self.cost_of(self.variants[number]) for number in self.missing)

    @property
    def sources(self) -> tuple[str, ...]:
        """The pictures that the user gave, in their order."""
        first = () if self.source is None else (self.source,)
        return *first, *(reference.stored for reference in self.references)

    @property
    def source_channel_ids(self) -> frozenset[int]:
        """The channels of the messages that the user's pictures were taken from."""
        found = {self.source_channel_id, *(reference.channel_id for reference in self.references)}
        return frozenset(channel_id for channel_id in found if channel_id is not None)

    @property
    def source_names(self) -> str:
        """The names of the pictures that the user gave, as users read them."""
        names = (self.source_name, *(reference.name for reference in self.references))
        return ", ".join(name for name in names if name)

    @property
    def uploads(self) -> tuple[str, ...]:
        """The pictures that the user gave, with the mask and the structure."""
        guides = (self.mask, self.structure)
        return *self.sources, *(name for name in guides if name is not None)

    @property
    def pictures(self) -> frozenset[str]:
        """Every stored picture that belongs to this job."""
        results = {variant.result for variant in self.variants}
        return frozenset(name for name in {*self.uploads, self.depth, *results} if name)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuePosition:
    """A waiting job's position: the number of jobs ahead of it, and the estimated seconds until
    it is finished (None until step times have been measured). `model` is the status of its model if
    that is one of several and is not loaded."""

    ahead: int
    seconds: float | None
    model: ModelStatus | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobProgress:
    """Progress over all variants of a running job; `seconds_left` is None if not known."""

    step: int
    total: int
    seconds_left: float | None
    preview: Preview | None = None
