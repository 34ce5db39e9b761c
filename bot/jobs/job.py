"""What a job is: one person's request, from accepted to answered. Frozen; the store owns change."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from inference import Preview


class JobState(StrEnum):
    """`MADE`: the pictures are stored; `DELIVERED`: the person has them. A job that is `FAILED` or
    `CANCELLED` still owes its person a sentence until `Job.finished_at` is set."""

    QUEUED = "queued"
    RUNNING = "running"
    MADE = "made"
    DELIVERED = "delivered"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def finished(self) -> bool:
        """Nothing more will be made in this state."""
        return self in (JobState.DELIVERED, JobState.FAILED, JobState.CANCELLED)


def new_job_id() -> str:
    """16 hex digits: fits a custom id, and a message nonce (25 characters at most)."""
    return secrets.token_hex(8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One picture of a job; a job has 1 to 4. Its result's content hash once it is made."""

    seed: int
    strength: float
    result: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """The message that will be edited into the answer.

    `token` is the interaction token, good until `token_expires_at` (seconds since the epoch);
    both None where the message is an ordinary one of the bot's. `private` messages can be edited
    through the token only. It is a secret and is not shown by `repr`.
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
    """One accepted request. Times are seconds since the epoch; pictures are content hashes.

    `attempts` counts how often it was begun. `finished_at` is when its person was answered.
    `post_channel_id` and `post_since` are set before the answer is sent as a new message, so that
    a restart knows where to look for one that may have arrived.
    """

    id: str
    user_id: int
    destination: Destination
    source: str
    source_name: str
    width: int
    height: int
    prompt: str
    negative_prompt: str
    steps: int
    guidance_scale: float
    variants: tuple[Variant, ...]
    layout: Literal["pictures", "grid"] = "pictures"
    style: str | None = None
    spoiler: bool = False
    parent_id: str | None = None
    locale: str = "en-US"
    weight: int = 1
    model: str = ""
    ignored_prompt: str = ""
    depth: str | None = None
    state: JobState = JobState.QUEUED
    attempts: int = 0
    error: str | None = None
    # From being started to being made.
    seconds: float | None = None
    created_at: float
    started_at: float | None = None
    finished_at: float | None = None
    post_channel_id: int | None = None
    post_since: float | None = None

    def steps_of(self, variant: Variant) -> int:
        """How many denoising steps a variant takes, as `Img2ImgRequest` counts them."""
        return max(1, int(self.steps * variant.strength))

    @property
    def missing(self) -> tuple[int, ...]:
        """The numbers of the variants that are not made yet."""
        return tuple(n for n, variant in enumerate(self.variants) if variant.result is None)

    @property
    def total_steps(self) -> int:
        """Denoising steps of all variants together."""
        return sum(map(self.steps_of, self.variants))

    @property
    def pictures(self) -> frozenset[str]:
        """Every stored picture that belongs to this job."""
        results = {variant.result for variant in self.variants}
        return frozenset(name for name in {self.source, self.depth, *results} if name)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuePosition:
    """Where a waiting job stands: `ahead` jobs before it, and an estimate in seconds until it is
    answered, None until step times have been measured."""

    ahead: int
    seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobProgress:
    """Over all variants of a running job: steps done of all, seconds left if known."""

    step: int
    total: int
    seconds_left: float | None
    preview: Preview | None = None
