"""Sandbox children that one test leaves to the next: starting one takes longer than most tests."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self
from unittest.mock import patch

from bot.intake.sandbox import pool

# Far beyond what a child needs to end when its input is closed.
END_SECONDS = 10.0


@contextmanager
def reused_children() -> Iterator[None]:
    """A sandbox that closes gives its children to the next sandbox with the same memory limit.

    Their program and limits are those of production; a child serves more tasks. The pipes are used
    in threads, because asyncio's belong to the event loop of one test.
    """
    idle: dict[int, list[pool._Child]] = defaultdict(list)

    class ReusedChild(pool._Child):
        def __init__(self, memory: int, child: subprocess.Popen[bytes]) -> None:
            self._memory = memory
            self._child = child
            self.tasks = 0
            self.limits = frozenset()

        @classmethod
        async def start(cls, memory: int) -> Self:
            while idle[memory]:
                child = idle[memory].pop()
                if child.alive:
                    assert isinstance(child, cls)
                    child.tasks = 0
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
            idle[self._memory].append(self)

        async def kill(self) -> None:
            await asyncio.to_thread(_end, self._child, 0.0)

    with patch.object(pool, "_Child", ReusedChild):
        yield
    for children in idle.values():
        for child in children:
            assert isinstance(child, ReusedChild)
            _end(child._child, END_SECONDS)


def _start(memory: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, *pool._COMMAND, str(memory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=pool._ENVIRONMENT,
        start_new_session=True,
    )


def _end(child: subprocess.Popen[bytes], seconds: float) -> None:
    """Close its input, after which it exits; kill it if it has not after these seconds."""
    assert child.stdin is not None
    assert child.stdout is not None
    with contextlib.suppress(BrokenPipeError):
        child.stdin.close()
    try:
        child.wait(seconds)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    child.stdout.close()


def _exchange(
    child: subprocess.Popen[bytes], message: bytes, longest: int
) -> tuple[dict[str, Any], bytes]:
    assert child.stdin is not None
    child.stdin.write(message)
    child.stdin.flush()
    return _read(child, longest)


def _read(child: subprocess.Popen[bytes], longest: int) -> tuple[dict[str, Any], bytes]:
    """One response, with the checks of `pool._Child`.

    Raises:
        EOFError: the child has ended.
        ValueError: the response is not valid.
    """
    assert child.stdout is not None
    line = child.stdout.readline()
    if not line:
        raise EOFError
    header = json.loads(line)
    length = header["length"] if isinstance(header, dict) else None
    if not isinstance(length, int) or not 0 <= length <= longest:
        raise ValueError("the child's response has no valid length")
    body = child.stdout.read(length)
    if len(body) < length:
        raise EOFError
    return header, body
