"""Jobs and pictures for tests of the jobs room."""

from __future__ import annotations

import time
from typing import Any

from bot.images.picture import Picture
from bot.jobs.job import Destination, Job, Variant, new_job_id

TOKEN = "interaction-token-that-nobody-should-find"


def picture(number: int = 0, width: int = 16, height: int = 8) -> Picture:
    """Another one for every number."""
    return Picture(number.to_bytes(24) * (width * height // 8), width, height)


def job(source: str = "0" * 64, **changes: Any) -> Job:
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
