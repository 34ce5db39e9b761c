"""Jobs and pictures for tests."""

from __future__ import annotations

import time
from typing import Any

from bot.images.picture import Picture
from bot.jobs.estimate import JobEstimates
from bot.jobs.job import Destination, Job, Variant, new_job_id
from inference import ImageResult, Timings

TOKEN = "interaction-token-that-must-not-be-found"


def picture(number: int = 0, width: int = 16, height: int = 8) -> Picture:
    """A different picture for every number."""
    return Picture(number.to_bytes(24) * (width * height // 8), width, height)


def job(source: str | None = "0" * 64, **changes: Any) -> Job:
    """A job that was just accepted."""
    values: dict[str, Any] = {
        "id": new_job_id(),
        "user_id": 7,
        "destination": Destination(
            application_id=1,
            channel_id=2,
            guild_id=3,
            message_id=4,
            token=TOKEN,
            token_expires_at=time.time() + 900,
        ),
        "source": source,
        "source_name": "holiday.png",
        "width": 16,
        "height": 8,
        "prompt": "a red fox in the snow",
        "negative_prompt": "blue",
        "steps": 10,
        "guidance_scale": 7.5,
        "variants": (Variant(seed=1, strength=0.5),),
        "created_at": time.time(),
    }
    return Job(**values | changes)


DESTINATION = Destination(application_id=1, channel_id=2, guild_id=3, message_id=4)


def queued_job(name: str, user: int, *, weight: int = 1, pictures: int = 1, steps: int = 10) -> Job:
    """A job of `pictures` variants with `steps` steps each."""
    return job(
        id=name,
        user_id=user,
        destination=DESTINATION,
        steps=steps,
        variants=tuple(Variant(seed=n, strength=1.0) for n in range(pictures)),
        weight=weight,
    )


def measured(estimates: JobEstimates, *, step: float, around: float = 0.0) -> None:
    """Report a result that took `step` seconds per step and `around` seconds once."""
    timings = Timings(prepare=around, steps=10 * step, decode=0.0)
    estimates.measure(
        queued_job("measured", user=0),
        ImageResult(id="", pixels=b"", width=0, height=0, steps_run=10, timings=timings),
    )
