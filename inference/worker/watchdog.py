"""Notices that a worker process hangs, while it loads the model and while it runs requests."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

# Seconds without a message while requests run, by device. A step, a preparation or a decode of the
# full model on two CPU cores takes up to a minute.
STEP_SECONDS = {"cuda": 120.0, "mps": 300.0, "cpu": 600.0}
DEFAULT_STEP_SECONDS = 600.0
# While loading: seconds without any activity of the process, and seconds in one phase. Compiling is
# the longest phase on a GPU (see COMPILE_SECONDS in inference.pipelines.compile), reading the files
# of a large model from a slow disk the longest one on a CPU.
LOAD_SILENCE_SECONDS = 180.0
LOAD_PHASE_SECONDS = 1800.0


class Watchdog:
    """`async with Watchdog(...)` around the messages of one worker process.

    The block ends with `TimeoutError` if the worker hangs; `reason` then says how. The watchdog
    starts in the loading phase. An idle worker may be silent.
    """

    def __init__(self, *, load_seconds: float, step_seconds: float | None) -> None:
        self._load_seconds = load_seconds
        self._step_seconds = step_seconds
        self._timeout = asyncio.timeout(None)
        self._phase: str | None = "loading the model"
        self._phase_end = 0.0
        self._device = ""

    async def __aenter__(self) -> Self:
        await self._timeout.__aenter__()
        self.start_phase("loading the model")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._timeout.__aexit__(kind, error, traceback)

    def start_phase(self, detail: str) -> None:
        """The loading has made progress: `detail` begins, or goes on."""
        self._phase = detail
        self._phase_end = self._now() + LOAD_PHASE_SECONDS
        self.reset(busy=False)

    @property
    def loading(self) -> bool:
        """Whether the worker loads a model."""
        return self._phase is not None

    def end_loading(self, device: str | None = None) -> None:
        """The worker serves requests from now on; on `device`, unless that is known already."""
        self._phase = None
        self._device = device or self._device

    def reset(self, *, busy: bool) -> None:
        """A message has arrived. `busy`: requests are in the worker."""
        if self._timeout.expired():
            return
        if self._phase is not None:
            self._timeout.reschedule(min(self._now() + self._load_seconds, self._phase_end))
        else:
            self._timeout.reschedule(self._now() + self._step_limit if busy else None)

    def request_added(self) -> None:
        """A request was sent to the worker, which may have been idle."""
        if self._timeout.when() is None:
            self.reset(busy=True)

    def request_removed(self, *, busy: bool) -> None:
        """A request has left the worker. This is no message: a hang is still noticed in time."""
        if self._phase is None and not busy:
            self.reset(busy=False)

    @property
    def reason(self) -> str:
        """Why the worker counts as hung, as a clause."""
        if self._phase is None:
            return f"it took no step for {self._step_limit:.0f} seconds"
        if self._now() >= self._phase_end:
            return f"{self._phase} took more than {LOAD_PHASE_SECONDS / 60:.0f} minutes"
        return f"it did nothing for {self._load_seconds:.0f} seconds while {self._phase}"

    @property
    def _step_limit(self) -> float:
        return self._step_seconds or STEP_SECONDS.get(self._device, DEFAULT_STEP_SECONDS)

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
