"""Notices when the service becomes ready, or one of several models is loaded or moved out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from inference import InferenceService, ServiceStatus

POLL_SECONDS = 0.5


async def watch_status(service: InferenceService, changed: Callable[[], None]) -> None:
    """Call `changed` when the state of the service or of a model has changed; runs until
    cancelled."""
    seen = _states(service.status)
    while True:
        await asyncio.sleep(POLL_SECONDS)
        states = _states(service.status)
        if states != seen:
            seen = states
            changed()


def _states(status: ServiceStatus) -> tuple[object, ...]:
    return status.state, status.models
