"""The image classifier behind a protocol, and its supervised child process.

The model runs in a process of its own, so that neither its time nor its memory is the bot's, and
so that one that hangs or crashes can be ended and started again.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import json
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from bot.images.picture import Picture

log = logging.getLogger(__name__)

# A picture takes 28 ms; a machine under load takes longer, a model of transformers a second.
SCORE_SECONDS = 10.0
# So many pictures may wait for the one before them. More are refused rather than kept waiting.
WAITING_LIMIT = 64
# Between two starts of a process that does not come up.
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0

_ROOT = Path(__file__).resolve().parents[3]
# What Python and the model hub's client need; no token is among them.
_ENVIRONMENT = ("SYSTEMROOT", "PATH", "HOME", "TMPDIR", "XDG_CACHE_HOME", "HF_HOME",
                "HF_HUB_OFFLINE", "HF_ENDPOINT", "HTTPS_PROXY", "NO_PROXY")  # fmt: skip
_COMMAND = (
    "-I",
    "-c",
    "import sys; sys.path.insert(0, sys.argv[1]); "
    "from inference.classifier.main import main; main()",
)


class ClassifierUnavailable(Exception):
    """There is no score: the classifier is starting, hangs, crashed, or answered nonsense."""


class ImageClassifier(Protocol):
    """Gives pictures a score."""

    async def score(self, picture: Picture) -> float:
        """The probability from 0 to 1 that the picture is explicit.

        Raises:
            ClassifierUnavailable: it cannot be told. This must never count as a pass.
        """
        ...


class ClassifierProcess:
    """Scores pictures in a child process, one after the other. Open it with `async with`.

    Entering it starts the process in the background. A picture that has no score after `seconds`,
    because the process is starting, busy or hanging, gets none. A process that hangs, ends, or
    answers anything but a finite number from 0 to 1 is ended, and another one is started.
    `command` are the arguments to Python; a test gives others.
    """

    _worker: asyncio.Task[None]

    def __init__(
        self,
        model: str,
        unsafe_labels: Sequence[str] = (),
        *,
        seconds: float = SCORE_SECONDS,
        command: Sequence[str] = _COMMAND,
    ) -> None:
        self._arguments = (*command, str(_ROOT), model, *unsafe_labels)
        self._seconds = seconds
        self._requests: asyncio.Queue[_Request] = asyncio.Queue(WAITING_LIMIT)
        self._context = contextvars.copy_context()

    async def __aenter__(self) -> Self:
        self._worker = asyncio.create_task(self._serve(), name="classifier")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._worker.cancel()
        await asyncio.gather(self._worker, return_exceptions=True)

    async def score(self, picture: Picture) -> float:
        """As the protocol says."""
        loop = asyncio.get_running_loop()
        request = _Request(picture, loop.create_future())
        try:
            self._requests.put_nowait(request)
        except asyncio.QueueFull:
            raise ClassifierUnavailable("too many pictures are waiting to be checked") from None
        # In the classifier's own context: the timer is no part of the caller's task.
        timer = self._context.copy().run(
            loop.call_later, self._seconds, request.fail, "the classifier does not answer"
        )
        try:
            return await request.score
        finally:
            timer.cancel()

    async def _serve(self) -> None:
        pause = FIRST_PAUSE
        while True:
            try:
                if await self._run_process():
                    pause = FIRST_PAUSE
            except OSError as error:
                log.error("The image classifier could not be started: %s", error)
            log.warning("The image classifier ended; it is started again in %g s", pause)
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _run_process(self) -> bool:
        """One process, from its start to its end; whether it had become ready."""
        starting = asyncio.create_task(_start(self._arguments))
        try:
            process = await asyncio.shield(starting)
        except asyncio.CancelledError:
            # A cancelled start would leave the process behind.
            await _end(await starting)
            raise
        try:
            if not await _is_ready(process):
                return False
            while True:
                request = await self._requests.get()
                if request.score.done():
                    continue
                try:
                    async with asyncio.timeout(self._seconds):
                        score = await _ask(process, request.picture)
                except (OSError, EOFError, ValueError, RecursionError) as error:
                    log.error("The image classifier was ended: %s", type(error).__name__)
                    request.fail("the classifier gave no score")
                    return True
                if not request.score.done():
                    request.score.set_result(score)
        finally:
            await _end(process)


@dataclass(frozen=True, slots=True)
class _Request:
    picture: Picture
    score: asyncio.Future[float]

    def fail(self, why: str) -> None:
        if not self.score.done():
            self.score.set_exception(ClassifierUnavailable(why))


async def _start(arguments: Sequence[str]) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
    )


async def _end(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    ended = asyncio.ensure_future(process.wait())
    try:
        await asyncio.shield(ended)
    except asyncio.CancelledError:
        # The event loop may be closed next, and would leave the process's transport behind.
        await ended
        raise


async def _is_ready(process: asyncio.subprocess.Process) -> bool:
    """Whether the process has loaded its model. Not limited in time: a hub may be slow."""
    try:
        answer = await _read(process)
    except (OSError, EOFError, ValueError):
        return False
    if "error" in answer:
        log.error("The image classifier did not start: %s", answer["error"])
    return answer.get("ready") is True


async def _ask(process: asyncio.subprocess.Process, picture: Picture) -> float:
    assert process.stdin is not None
    header = {"width": picture.width, "height": picture.height}
    process.stdin.write(json.dumps(header).encode() + b"\n")
    process.stdin.write(picture.pixels)
    await process.stdin.drain()
    match await _read(process):
        # Not a number compares as false.
        case {"score": float() as score} if 0.0 <= score <= 1.0:
            return score
    raise ValueError("the score is not a probability")


async def _read(process: asyncio.subprocess.Process) -> dict[str, Any]:
    assert process.stdout is not None
    answer = json.loads(await process.stdout.readline())
    if not isinstance(answer, dict):
        raise ValueError("the answer is not an object")
    return answer
