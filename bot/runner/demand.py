"""Tells the inference service how long the oldest job waits, so that a fleet can grow."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from bot.jobs.queue import FairQueue
from inference import InferenceService

# A replica takes tens of seconds to start.
REPORT_SECONDS = 2.0


async def report_demand(
    queue: FairQueue,
    service: InferenceService,
    request_dispatch: Callable[[], None],
    clock: Callable[[], float],
) -> None:
    """Report until cancelled. `clock` gives seconds since the epoch.

    `request_dispatch` is called if the number of slots has changed: a fleet may have grown while no
    job ended.
    """
    slots = service.status.slots
    while True:
        created = [job.created_at for job in queue.order()]
        service.report_demand(max(0.0, clock() - min(created)) if created else 0.0)
        if service.status.slots != slots:
            slots = service.status.slots
            request_dispatch()
        await asyncio.sleep(REPORT_SECONDS)
