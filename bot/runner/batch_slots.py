"""Room in the engine's batch: tickets given out in order, for a number of slots that may change."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TypeAlias

Ticket: TypeAlias = "asyncio.Future[None]"


class BatchSlots:
    """A ticket is a future that is done once its holder may begin. Give each back exactly once."""

    def __init__(self) -> None:
        self._size = 1
        self._used = 0
        self._waiting: deque[Ticket] = deque()

    @property
    def free(self) -> bool:
        """Whether a ticket taken now would be good at once."""
        return self._used < self._size and not self._waiting

    def resize(self, size: int) -> None:
        """The engine's batch holds `size` requests from now on."""
        self._size = size
        self._admit()

    def take(self) -> Ticket:
        """A ticket, good when those taken before it are and a slot is free."""
        ticket: Ticket = asyncio.get_running_loop().create_future()
        self._waiting.append(ticket)
        self._admit()
        return ticket

    def give_back(self, ticket: Ticket) -> None:
        """Its holder is through, or does not want to begin any more."""
        if ticket in self._waiting:
            self._waiting.remove(ticket)
        else:
            self._used -= 1
            self._admit()

    def _admit(self) -> None:
        while self._waiting and self._used < self._size:
            self._used += 1
            ticket = self._waiting.popleft()
            if not ticket.done():
                ticket.set_result(None)
