"""Sandbox children that one test leaves to the next: starting one takes longer than most tests."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self
from unittest.mock import patch

from bot.intake.sandbox import pool


@contextmanager
def reused_children() -> Iterator[None]:
    """A sandbox that closes gives its children to the next sandbox with the same memory limit.

    The children are those of production. The pipes are used in threads, because asyncio's belong
    to the event loop of one test.
    """
    idle: dict[int, list[subprocess.Popen[bytes]]] = defaultdict(list)

    class ReusedChild(pool._Child):
        def __init__(self, memory: int, process: subprocess.Popen[bytes]) -> None:
            self._memory = memory
            self._child = process
            self.tasks = 0
            self.limits = frozenset()

        @classmethod
        async def start(cls, memory: int) -> Self:
            while idle[memory]:
                child = cls(memory, idle[memory].pop())
                if child.alive:
                    return child
            child = cls(memory, _start(memory))
            hello, _ = await asyncio.to_thread(_read, child._child, 0)
            child.limits = frozenset(name for name, active in hello.items() if active is True)
            return child

        @property
        def alive(self) -> bool:
            return self._child.poll() is None

        async def ask(
            self, header: dict[str, Any], body: bytes, longest: int
        ) -> tuple[dict[str, Any], bytes]:
            self.tasks += 1
            message = json.dumps(header).encode() + b"\n" + body
            return await asyncio.to_thread(_exchange, self._child, message, longest)

        async def end(self) -> None:
            idle[self._memory].append(self._child)

        async def kill(self) -> None:
            self._child.kill()
            await asyncio.to_thread(self._child.__exit__, None, None, None)

    with patch.object(pool, "_Child", ReusedChild):
        yield
    for children in idle.values():
        for child in children:
            # Closing its input ends it.
            child.__exit__(None, None, None)


def _start(memory: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, *pool._COMMAND, str(memory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=pool._ENVIRONMENT,
        start_new_session=True,
    )


def _exchange(
    child: subprocess.Popen[bytes], message: bytes, longest: int
) -> tuple[dict[str, Any], bytes]:
    assert child.stdin is not None
    child.stdin.write(message)
    child.stdin.flush()
    return _read(child, longest)


def _read(child: subprocess.Popen[bytes], longest: int) -> tuple[dict[str, Any], bytes]:
    assert child.stdout is not None
    line = child.stdout.readline()
    if not line:
        raise EOFError
    header: dict[str, Any] = json.loads(line)
    length = header["length"]
    assert 0 <= length <= longest
    return header, child.stdout.read(length)
