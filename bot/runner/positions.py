"""Keeps the queue positions in the messages of the next jobs up to date."""

from __future__ import annotations

from bot.delivery.delivery import Delivery
from bot.jobs.estimate import JobEstimates
from bot.jobs.job import Job, QueuePosition
from bot.jobs.queue import FairQueue

# Only so many positions are updated: each update is an edit of a message.
SHOWN_POSITIONS = 5


class PositionUpdater:
    """Shows a position when it has changed."""

    def __init__(self, queue: FairQueue, estimates: JobEstimates, delivery: Delivery) -> None:
        self._queue = queue
        self._estimates = estimates
        self._delivery = delivery
        self._shown: dict[str, int] = {}

    def show(self, job: Job, position: QueuePosition) -> None:
        """Show the position of a new job."""
        self._shown[job.id] = position.ahead
        self._delivery.show_queued(job, position)

    def update(self) -> None:
        """Show the positions of the next jobs that have changed."""
        positions = self._estimates.positions()
        next_jobs = self._queue.order()[:SHOWN_POSITIONS]
        for job in next_jobs:
            if self._shown.get(job.id) != positions[job.id].ahead:
                self._delivery.show_queued(job, positions[job.id])
        self._shown = {job.id: positions[job.id].ahead for job in next_jobs}
