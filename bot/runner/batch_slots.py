"""Slots in the engine's batch, given out in order; their number may change."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TypeAlias

from inference import ServiceState, ServiceStatus

Slot: TypeAlias = "asyncio.Future[None]"


class BatchSlots:
    """A slot is a future that is done once its holder may start. Release each exactly once."""

    def __init__(self) -> None:
        self._size = 1
        self._used = 0
        self._waiting: deque[Slot] = deque()

    @property
    def free(self) -> bool:
        """Whether a slot taken now could start at once."""
        return self._used < self._size and not self._waiting

    def resize(self, size: int) -> None:
        """The engine's batch holds `size` requests from now on."""
        self._size = size
        self._admit()

    def take(self) -> Slot:
        """A slot that is ready after those taken before it, when there is room in the batch."""
        slot: Slot = asyncio.get_running_loop().create_future()
        self._waiting.append(slot)
        self._admit()
        return slot

    def release(self, slot: Slot) -> None:
        """Its holder has ended, or no longer wants to start."""
        if slot in self._waiting:
            self._waiting.remove(slot)
        else:
            self._used -= 1
            self._admit()

    def _admit(self) -> None:
        while self._waiting and self._used < self._size:
            self._used += 1
            slot = self._waiting.popleft()
            if not slot.done():
                slot.set_result(None)


class ModelSlots:
    """The slots of each model's batch. A service with one model has one batch for all jobs."""

    def __init__(self) -> None:
        self._status = ServiceStatus(state=ServiceState.LOADING, detail="")
        self._batches: dict[str, BatchSlots] = {}
        self._batch_of: dict[Slot, BatchSlots] = {}

    def resize(self, status: ServiceStatus) -> None:
        """Take the sizes of the batches from the service's status."""
        self._status = status
        for model, batch in self._batches.items():
            batch.resize(status.model(model).slots)

    def free(self, model: str) -> bool:
        """Whether a slot of this model taken now could start at once."""
        return self._batch(model).free

    def take(self, model: str) -> Slot:
        """A slot of this model; see `BatchSlots.take`."""
        batch = self._batch(model)
        slot = batch.take()
        self._batch_of[slot] = batch
        return slot

    def release(self, slot: Slot) -> None:
        """Its holder has ended, or no longer wants to start."""
        self._batch_of.pop(slot).release(slot)

    def _batch(self, model: str) -> BatchSlots:
        models = self._status.models
        name = (model or models[0].name) if models else ""
        if name not in self._batches:
            self._batches[name] = BatchSlots()
            self._batches[name].resize(self._status.model(name).slots)
        return self._batches[name]
