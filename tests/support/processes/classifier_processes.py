"""Processes of the image classifier that one test leaves to the next: the start takes half a second
of processor time."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from bot.moderation.detectors import classifier


@contextmanager
def reused_classifiers() -> Iterator[None]:
    """A classifier that ends without an error gives its process to the next one.

    Their program and environment are those of production. A process with another program, or one
    that owes an answer, is ended as in production. The pipes are used in threads, because
    asyncio's belong to the event loop of one test.
    """
    idle: dict[tuple[str, ...], list[_Process]] = defaultdict(list)
    start, end = classifier._start, classifier._end

    async def start_or_reuse(arguments: Sequence[str]) -> Any:
        key = tuple(arguments)
        if key[: len(classifier._COMMAND)] != classifier._COMMAND:
            return await start(arguments)
        while idle[key]:
            process = idle[key].pop()
            if process.reuse():
                return process
        return _Process(key)

    async def end_or_keep(process: Any) -> None:
        if not isinstance(process, _Process):
            await end(process)
        elif process.owed <= 0 and process.alive:
            idle[process.key].append(process)
        else:
            await asyncio.to_thread(process.end)

    with (
        patch.object(classifier, "_start", start_or_reuse),
        patch.object(classifier, "_end", end_or_keep),
    ):
        yield
    for processes in idle.values():
        for process in processes:
            process.end()


class _Process:
    """What the classifier uses of `asyncio.subprocess.Process`."""

    def __init__(self, arguments: tuple[str, ...]) -> None:
        self.key = arguments
        self.owed = 0
        """The pictures that have no score yet."""
        names = [name for name in classifier._ENVIRONMENT if name in os.environ]
        self._child = subprocess.Popen(
            [sys.executable, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={name: os.environ[name] for name in names},
        )
        self._thread = ThreadPoolExecutor(1)
        self._unsent = b""
        self._hello = self._thread.submit(self._read)
        self._greeted = False
        self.stdin = self.stdout = self

    @property
    def alive(self) -> bool:
        return self._child.poll() is None

    def reuse(self) -> bool:
        """Repeat the first answer to the next user, if the process can serve one."""
        self._greeted = False
        return self.alive

    async def readline(self) -> bytes:
        if not self._greeted:
            # Not `wrap_future`: the next user may have to wait for it in another event loop.
            while not self._hello.done():  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            self._greeted = True
            return self._hello.result()
        line = await asyncio.wrap_future(self._thread.submit(self._read))
        self.owed -= 1
        return line

    def write(self, data: bytes) -> None:
        self._unsent += data

    async def drain(self) -> None:
        self.owed += 1
        data, self._unsent = self._unsent, b""
        await asyncio.wrap_future(self._thread.submit(self._write, data))

    def end(self) -> None:
        self._child.kill()
        self._child.wait()
        self._thread.shutdown()
        for pipe in (self._child.stdin, self._child.stdout):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()

    def _read(self) -> bytes:
        assert self._child.stdout is not None
        return self._child.stdout.readline()

    def _write(self, data: bytes) -> None:
        assert self._child.stdin is not None
        self._child.stdin.write(data)
        self._child.stdin.flush()
