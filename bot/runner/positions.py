"""Keeps the queue positions in the messages of the next jobs up to date."""

from __future__ import annotations

from bot.delivery.delivery import Delivery
from bot.jobs.estimate import JobEstimates
from bot.jobs.job import Job, QueuePosition
from bot.jobs.queue import FairQueue
from inference import ModelState

# A download's progress is shown in steps of so many percent.
PROGRESS_STEP = 5
# Only so many positions are updated: each update is an edit of a message.
SHOWN_POSITIONS = 5


class PositionUpdater:
    """Shows a position when it has changed."""

    def __init__(self, queue: FairQueue, estimates: JobEstimates, delivery: Delivery) -> None:
        self._queue = queue
        self._estimates = estimates
        self._delivery = delivery
        self._shown: dict[str, _Shown] = {}

    def show(self, job: Job, position: QueuePosition) -> None:
        """Show the position of a new job."""
        self._shown[job.id] = _shown(position)
        self._delivery.show_queued(job, position)

    def update(self) -> None:
        """Show changes: the positions of the next jobs, and whether a model is loaded."""
        positions = self._estimates.positions() | self._estimates.positions_in_service()
        jobs = [*self._queue.order()[:SHOWN_POSITIONS], *self._queue.running]
        shown = {}
        for job in jobs:
            position = positions.get(job.id)
            if position is None:
                continue
            shown[job.id] = _shown(position)
            if self._shown.get(job.id) != shown[job.id]:
                self._delivery.show_queued(job, position)
        self._shown = shown


_Shown = tuple[int, ModelState | None, int]


def _shown(position: QueuePosition) -> _Shown:
    model = position.model
    if model is None:
        return position.ahead, None, 0
    percent = model.download.percent if model.download is not None else 0
    return position.ahead, model.state, percent // PROGRESS_STEP
