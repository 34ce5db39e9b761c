"""Keeps the queue positions in the messages of waiting jobs up to date."""

from __future__ import annotations

from typing import NamedTuple

from bot.delivery.delivery import Delivery
from bot.jobs.estimate import JobEstimates
from bot.jobs.job import Job, QueuePosition
from bot.jobs.queue import FairQueue
from inference import ModelState, ServiceState

# A download's progress is shown in steps of so many percent.
PROGRESS_STEP = 5
# Only so many positions are updated: each update is an edit of a message.
SHOWN_POSITIONS = 5


class _Shown(NamedTuple):
    """The contents of a job's message: its position, and whether it waits for its model. This state
    is not stored, so it is unknown after a restart."""

    ahead: int = 0
    ready: bool = True
    model: ModelState | None = None
    progress: int = 0

    def same_wait(self, other: _Shown) -> bool:
        """Whether both wait for the same, apart from the progress of a download."""
        return (self.ready, self.model) == (other.ready, other.model)


class PositionUpdater:
    """Shows a position when it has changed."""

    def __init__(self, queue: FairQueue, estimates: JobEstimates, delivery: Delivery) -> None:
        self._queue = queue
        self._estimates = estimates
        self._delivery = delivery
        self._shown: dict[str, _Shown] = {}

    def show(self, job: Job, position: QueuePosition) -> None:
        """Show the position of a new job."""
        self._shown[job.id] = self._state(position)
        self._delivery.show_queued(job, position)

    def update(self) -> None:
        """Show changes: the positions of the next jobs, and of all jobs that have taken no step
        whether their model is loaded."""
        positions = self._estimates.positions()
        in_service = self._estimates.positions_in_service()
        before, self._shown = self._shown, {}
        for number, job in enumerate(self._queue.order()):
            position, known = positions[job.id], before.get(job.id)
            state = self._state(position)
            if number < SHOWN_POSITIONS:
                changed = known != state
            elif known is not None:
                changed = not known.same_wait(state)
            else:
                # After a restart: its message may have a note about loading.
                changed = state.same_wait(_Shown())
            self._update(job, position, state if changed else known, changed=changed)
        for job in self._queue.running:
            if job.id in in_service:
                position = in_service[job.id]
                state, known = self._state(position), before.get(job.id)
                # Its earlier position does not matter any more.
                changed = known is None or known._replace(ahead=0) != state
                self._update(job, position, state, changed=changed)

    def _update(
        self, job: Job, position: QueuePosition, state: _Shown | None, *, changed: bool
    ) -> None:
        if state is not None:
            self._shown[job.id] = state
        if changed:
            self._delivery.show_queued(job, position)

    def _state(self, position: QueuePosition) -> _Shown:
        ready = self._estimates.status.state is ServiceState.READY
        model = position.model
        if model is None:
            return _Shown(position.ahead, ready)
        percent = model.download.percent if model.download is not None else 0
        return _Shown(position.ahead, ready, model.state, percent // PROGRESS_STEP)
