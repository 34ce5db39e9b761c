"""A pool of restricted child processes that decode untrusted bytes.

A child starts with an empty environment, so it holds no secret. `privileges` then limits its
memory, files and system calls. Its responses are checked here. A picture that crashes the
decoder costs its own request only.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bot.images.picture import Picture
from bot.intake.decoding.geometry import MAX_ASPECT
from bot.intake.decoding.signatures import UNSUPPORTED_NAMES
from bot.intake.errors import (
    BrokenPicture,
    IncompletePicture,
    NotAPicture,
    NotTransparent,
    PictureError,
    TooLong,
    TooManyPixels,
    TooMuchWork,
    UnsupportedFormat,
)
from bot.intake.web_page import MAX_CANDIDATES, PagePictures

log = logging.getLogger(__name__)

_START_SECONDS = 30.0
_TASKS_PER_CHILD = 200
"""A child is replaced after so many tasks, which limits the effect of memory leaks."""

_MAX_HEADER = 64 * 1024
_ROOT = Path(__file__).resolve().parents[3]
# Python does not start on Windows without SYSTEMROOT.
_ENVIRONMENT = {name: os.environ[name] for name in ("SYSTEMROOT",) if name in os.environ}
# Isolated mode (-I): PYTHON* variables and the working directory have no effect.
_COMMAND = (
    "-I",
    "-c",
    "import sys; sys.path.insert(0, sys.argv[1]); "
    "from bot.intake.sandbox.sandbox_main import main; main()",
    str(_ROOT),
)

_MISSING = {
    "limited": "This system has no memory limits for processes; pictures are decoded without.",
    "filtered": (
        "This system has no seccomp (Linux with libseccomp has it); pictures are decoded by a "
        "process that could delete files and signal other processes if a decoder were compromised."
    ),
}


class Sandbox:
    """Decodes pictures and parses pages in child processes, at most `workers` at a time.

    `memory` is the address space of a child in bytes, `seconds` the wall time of one task.
    A child is started when it is first needed.
    """

    def __init__(self, *, workers: int, memory: int, seconds: float) -> None:
        self._memory = memory
        self._seconds = seconds
        self._slots = asyncio.Semaphore(workers)
        self._idle: list[_Child] = []
        self._warned = False
        self._closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._closed = True
        while self._idle:
            await self._idle.pop().end()

    async def decode(
        self,
        data: bytes,
        *,
        pixels: int,
        multiple: int,
        sizes: Sequence[tuple[int, int]] = (),
        max_pixels: int,
        background: tuple[int, int, int],
    ) -> Picture:
        """`bot.intake.decoding.decode.decode` in a child.

        Raises:
            PictureError: one of its subclasses.
        """
        task = {
            "kind": "picture",
            "pixels": pixels,
            "multiple": multiple,
            "sizes": sizes,
            "max_pixels": max_pixels,
            "background": background,
        }
        answer, body = await self._run(task, data, longest=3 * pixels)
        match answer:
            case {"width": int(width), "height": int(height)} if (
                0 < width * height <= pixels
                and len(body) == 3 * width * height
                and width % multiple == height % multiple == 0
            ):
                return Picture(body, width, height)
        raise _refusal(answer, max_pixels)

    async def decode_mask(
        self, data: bytes, *, size: tuple[int, int], only_transparent: bool, max_pixels: int
    ) -> bytes:
        """`bot.intake.decoding.decode.decode_mask` in a child.

        Raises:
            PictureError: one of its subclasses.
        """
        task = {
            "kind": "mask",
            "size": size,
            "only_transparent": only_transparent,
            "max_pixels": max_pixels,
        }
        answer, body = await self._run(task, data, longest=size[0] * size[1])
        if answer.get("mask") is True and len(body) == size[0] * size[1]:
            return body
        raise _refusal(answer, max_pixels)

    async def find_pictures(self, page: bytes) -> PagePictures:
        """`bot.intake.web_page.find_pictures` in a child; none also where that fails."""
        with contextlib.suppress(PictureError):
            match await self._run({"kind": "page"}, page, longest=0):
                case ({"base": str() | None as base, "addresses": list(addresses)}, _):
                    texts = tuple(text for text in addresses if isinstance(text, str))
                    return PagePictures(base, texts[:MAX_CANDIDATES])
        return PagePictures(None, ())

    async def _run(
        self, task: dict[str, Any], body: bytes, *, longest: int
    ) -> tuple[dict[str, Any], bytes]:
        async with self._slots:
            child = await self._ready_child()
            try:
                async with asyncio.timeout(self._seconds):
                    answer = await child.ask(task | {"length": len(body)}, body, longest)
            except (OSError, EOFError, ValueError, RecursionError) as error:
                # It hung or crashed, or its response is not valid.
                log.warning("A sandboxed decoder failed and was killed: %s", type(error).__name__)
                await child.kill()
                raise TooMuchWork from None
            except BaseException:
                await child.kill()
                raise
            if child.tasks < _TASKS_PER_CHILD and not self._closed:
                self._idle.append(child)
            else:
                await child.end()
            return answer

    async def _ready_child(self) -> _Child:
        while self._idle:
            child = self._idle.pop()
            if child.alive:
                return child
            await child.kill()
        child = await _Child.start(self._memory)
        if not self._warned:
            self._warned = True
            for limit, missing in _MISSING.items():
                if limit not in child.limits:
                    log.warning(missing)
        return child


def _refusal(answer: dict[str, Any], max_pixels: int) -> PictureError:
    """The error of a child's response. Its text is untrusted, so only known names are accepted."""
    refusals: dict[str, PictureError] = {
        "NotAPicture": NotAPicture(),
        "BrokenPicture": BrokenPicture(),
        "IncompletePicture": IncompletePicture(),
        "NotTransparent": NotTransparent(),
        "TooManyPixels": TooManyPixels(megapixels=max_pixels / 1e6),
        "TooLong": TooLong(limit=MAX_ASPECT),
    }
    match answer:
        case {"error": str(name)} if name in refusals:
            return refusals[name]
        case {"error": "UnsupportedFormat", "params": {"format": str(name)}} if (
            name in UNSUPPORTED_NAMES
        ):
            return UnsupportedFormat(format=name)
    return TooMuchWork()


class _Child:
    """One child process. It runs one task at a time; the caller kills it if a task fails."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.tasks = 0
        self.limits: frozenset[str] = frozenset()

    @classmethod
    async def start(cls, memory: int) -> Self:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *_COMMAND,
            str(memory),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=_MAX_HEADER,
            env=_ENVIRONMENT,
            # A session and process group of its own: no terminal, and no signals from Ctrl-C.
            start_new_session=True,
        )
        child = cls(process)
        try:
            async with asyncio.timeout(_START_SECONDS):
                hello, _ = await child._read(longest=0)
        except (OSError, EOFError, ValueError) as error:
            await child.kill()
            raise RuntimeError("The sandboxed decoder does not start.") from error
        except BaseException:
            await child.kill()
            raise
        child.limits = frozenset(name for name, active in hello.items() if active is True)
        return child

    @property
    def alive(self) -> bool:
        return self._process.returncode is None

    async def ask(
        self, header: dict[str, Any], body: bytes, longest: int
    ) -> tuple[dict[str, Any], bytes]:
        assert self._process.stdin is not None
        self.tasks += 1
        self._process.stdin.write(json.dumps(header).encode() + b"\n")
        self._process.stdin.write(body)
        await self._process.stdin.drain()
        return await self._read(longest)

    async def _read(self, longest: int) -> tuple[dict[str, Any], bytes]:
        assert self._process.stdout is not None
        header = json.loads(await self._process.stdout.readline())
        if not isinstance(header, dict):
            raise ValueError("the child's response has no header")
        length = header.get("length")
        if not isinstance(length, int) or not 0 <= length <= longest:
            raise ValueError("the child's response has no valid length")
        return header, await self._process.stdout.readexactly(length)

    async def end(self) -> None:
        """Close its input, after which it exits."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(1):
                await self._process.wait()
        except TimeoutError:
            await self.kill()

    async def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()
