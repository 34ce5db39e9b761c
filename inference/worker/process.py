"""The parent's handle of one worker process: start, send, receive, kill."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import queue
import signal
import threading
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pickle import UnpicklingError
from typing import Any, Self

from inference.worker.logs import LogLine, write
from inference.worker.main import main as worker_main
from inference.worker.messages import Command, WorkerConfig

# CUDA does not survive a fork. Tests fork their workers from a process that has imported torch.
CONTEXT = multiprocessing.get_context("spawn")
# A killed process ends at once, unless it hangs in a driver.
KILL_SECONDS = 5.0


class WorkerProcess:
    """A running worker process.

    Two threads read and write the pipe, so that the event loop never blocks on it: a worker that
    has stopped reading must not stop its parent.
    """

    def __init__(self, process: BaseProcess, pipe: Connection) -> None:
        self._process = process
        self._pipe = pipe
        self._outbox: queue.SimpleQueue[Command | None] = queue.SimpleQueue()
        self._inbox: asyncio.Queue[Any] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        self._threads = (
            threading.Thread(target=self._read, args=(loop,), name="read-worker-pipe", daemon=True),
            threading.Thread(target=self._write, name="write-worker-pipe", daemon=True),
        )
        for thread in self._threads:
            thread.start()

    @classmethod
    async def start(cls, config: WorkerConfig) -> Self:
        """Start a process, which begins to load the model.

        Raises:
            OSError: the system cannot start another process.
        """
        parent_end, child_end = CONTEXT.Pipe()
        process = CONTEXT.Process(
            target=worker_main, args=(child_end, config), name="redraw-worker", daemon=True
        )
        try:
            await asyncio.to_thread(process.start)
        finally:
            child_end.close()
        return cls(process, parent_end)

    @property
    def pid(self) -> int | None:
        """The process id."""
        return self._process.pid

    def send(self, command: Command) -> None:
        """Send a command; never blocks. Commands to a process that has ended are lost."""
        self._outbox.put(command)

    async def receive(self) -> Any:
        """The worker's next message; None once the process has ended."""
        return await self._inbox.get()

    def kill(self) -> None:
        """End the process at once."""
        if self._process.is_alive():
            self._process.kill()

    async def close(self) -> str:
        """Kill the process if it runs, wait for its end, and return how it ended, as a clause."""
        self.kill()
        await asyncio.to_thread(self._process.join, KILL_SECONDS)
        self._outbox.put(None)
        await asyncio.to_thread(self._close_pipe)
        code = self._process.exitcode
        if code is not None and code < 0:
            return f"the process was ended by {signal.Signals(-code).name}"
        return f"the process exited with code {code}"

    def _close_pipe(self) -> None:
        """Close the pipe once no thread uses it. The next worker's pipe may get the same file
        descriptor, and a command that is still being written must not reach that worker."""
        for thread in self._threads:
            thread.join(KILL_SECONDS)
        if not any(thread.is_alive() for thread in self._threads):
            self._pipe.close()

    def _read(self, loop: asyncio.AbstractEventLoop) -> None:
        message: object = ...
        while message is not None:
            try:
                message = self._pipe.recv()
            except (EOFError, OSError, UnpicklingError):
                message = None
            if isinstance(message, LogLine):
                # No sign of life for the watchdog: a process that hangs may still log.
                write(message)
                continue
            with contextlib.suppress(RuntimeError):  # The loop is closed.
                loop.call_soon_threadsafe(self._inbox.put_nowait, message)

    def _write(self) -> None:
        while (command := self._outbox.get()) is not None:
            # A broken pipe means that the process has ended, which the reading thread reports.
            with contextlib.suppress(OSError):
                self._pipe.send(command)
