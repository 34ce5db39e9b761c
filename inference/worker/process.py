"""One worker process as its parent holds it: started, sent to, heard from, killed."""

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

from inference.worker.main import main as worker_main
from inference.worker.messages import WorkerConfig

# A killed process is gone at once; one that hangs in a driver may not be.
KILL_SECONDS = 5.0


class WorkerProcess:
    """A running worker process. Two threads that sleep in the pipe keep the event loop free of it:
    a worker that has stopped reading must not stop its parent."""

    def __init__(self, process: BaseProcess, pipe: Connection) -> None:
        self._process = process
        self._pipe = pipe
        self._outbox: queue.SimpleQueue[tuple[str, object] | None] = queue.SimpleQueue()
        self._inbox: asyncio.Queue[Any] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._listen, args=(loop,), daemon=True).start()
        threading.Thread(target=self._write, daemon=True).start()

    @classmethod
    async def start(cls, config: WorkerConfig) -> Self:
        """A new process that has begun to load the model.

        Raises:
            OSError: the system has no room for one more.
        """
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(
            target=worker_main, args=(theirs, config), name="redraw-worker", daemon=True
        )
        try:
            await asyncio.to_thread(process.start)
        finally:
            theirs.close()
        return cls(process, ours)

    @property
    def pid(self) -> int | None:
        """The process id."""
        return self._process.pid

    def send(self, what: str, value: object) -> None:
        """Never blocks; what a dead worker is sent is lost."""
        self._outbox.put((what, value))

    async def receive(self) -> Any:
        """The worker's next message; None once it is gone."""
        return await self._inbox.get()

    def kill(self) -> None:
        """End it now, whatever it does."""
        if self._process.is_alive():
            self._process.kill()

    async def close(self) -> str:
        """Kill it if it lives, and wait; how it ended, as the end of a sentence."""
        self.kill()
        await asyncio.to_thread(self._process.join, KILL_SECONDS)
        self._outbox.put(None)
        self._pipe.close()
        code = self._process.exitcode
        if code is not None and code < 0:
            return f"it was ended by {signal.Signals(-code).name}"
        return f"it ended by itself with exit code {code}"

    def _listen(self, loop: asyncio.AbstractEventLoop) -> None:
        message: object = ...
        while message is not None:
            try:
                message = self._pipe.recv()
            except (EOFError, OSError, UnpicklingError):
                message = None
            with contextlib.suppress(RuntimeError):  # the loop has closed: nobody listens any more
                loop.call_soon_threadsafe(self._inbox.put_nowait, message)

    def _write(self) -> None:
        while (message := self._outbox.get()) is not None:
            # A broken pipe means a dead worker, which the listener reports.
            with contextlib.suppress(OSError):
                self._pipe.send(message)
