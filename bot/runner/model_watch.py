"""Notices when one of several models was loaded or moved out of memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from inference import InferenceService

POLL_SECONDS = 0.5


async def watch_models(service: InferenceService, changed: Callable[[], None]) -> None:
    """Call `changed` when the state of a model has changed; runs until cancelled."""
    seen = service.status.models
    while True:
        await asyncio.sleep(POLL_SECONDS)
        models = service.status.models
        if models != seen:
            seen = models
            changed()
