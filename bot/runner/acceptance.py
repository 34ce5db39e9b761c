"""Accepts requests: place in the queue, checks, budgets. An accepted job is stored and queued."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bot.errors import ModelFailed, Stopping, StorageFull, UnavailableError
from bot.jobs.admission import Admission, Reservation
from bot.jobs.budgets import Allowance
from bot.jobs.checks import JobChecks
from bot.jobs.job import Job
from bot.jobs.queue import FairQueue
from bot.runner.accounting import Accounting
from bot.store.store import Store
from inference import InferenceService, ServiceState

log = logging.getLogger(__name__)


PAUSED = "paused"


class Paused(UnavailableError):
    """The operator has paused the bot, and says why."""

    text = "The bot accepts no requests at the moment: {reason}"


class Acceptance:
    """It takes no more requests while the bot shuts down (`stopping`), while the operator prepares
    a restart (`draining`), and while the operator pauses it: `paused` is the sentence for users,
    which survives a restart.
    """

    def __init__(
        self,
        *,
        store: Store,
        service: InferenceService,
        checks: JobChecks,
        queue: FairQueue,
        admission: Admission,
        accounting: Accounting,
        min_free_bytes: int,
    ) -> None:
        self._store = store
        self._service = service
        self._checks = checks
        self._queue = queue
        self._admission = admission
        self._accounting = accounting
        self._min_free_bytes = min_free_bytes
        self.stopping = False
        self.draining = False
        self.paused: str | None = None

    async def load(self) -> None:
        """Read whether the bot is paused."""
        self.paused = await self._store.operator_state.get(PAUSED)

    async def pause(self, reason: str) -> None:
        """Accept no more requests until `resume`; accepted ones continue."""
        await self._store.operator_state.set(PAUSED, reason)
        self.paused = reason

    async def resume(self) -> None:
        """Accept requests again, after a pause or a drain."""
        await self._store.operator_state.set(PAUSED, None)
        self.paused = None
        self.draining = False

    @asynccontextmanager
    async def reserve(self, user_id: int, pictures: int) -> AsyncIterator[Reservation]:
        """See `Runner.reserve`."""
        self._check_open()
        async with self._admission.place(user_id, pictures) as reservation:
            yield reservation

    async def accept(self, job: Job, reservation: Reservation | None, allowance: Allowance) -> None:
        """See `Runner.accept`."""
        try:
            if reservation is not None:
                # Before the checks, which record what they refuse.
                self._admission.check(job, reservation)
            await self._accounting.check(job, allowance)
            await self._checks.check_request(job)
            if reservation is None:
                async with self.reserve(job.user_id, len(job.missing)) as reservation:
                    await self._accept(job, reservation, allowance)
            else:
                await self._accept(job, reservation, allowance)
        except BaseException:
            for name in job.uploads:
                await self._store.discard(name)
            raise

    async def _accept(self, job: Job, reservation: Reservation, allowance: Allowance) -> None:
        self._check_open()
        self._admission.check(job, reservation)
        async with self._accounting.hold(job, allowance):
            await self._store.accept(job)
            self._queue.add(job)
        self._admission.release(reservation)

    def _check_open(self) -> None:
        if self.stopping or self.draining:
            raise Stopping
        if self.paused is not None:
            raise Paused(reason=self.paused)
        if self._service.status.state is ServiceState.FAILED:
            raise ModelFailed
        if self._store.free_bytes() < self._min_free_bytes:
            log.error("a request was refused: less than %d bytes are free", self._min_free_bytes)
            raise StorageFull
