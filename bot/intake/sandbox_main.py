"""The sandboxed process: reads tasks from standard input, answers on standard output, and can do
nothing else. One line of JSON each way, followed by as many bytes as its `length` says.

The parent reads no pickles and believes nothing unchecked, so that whoever took over a decoder
has only won the right to answer with a picture.
"""

from __future__ import annotations

import json
import os
import sys
from io import BufferedReader, BufferedWriter
from typing import Any

from bot.intake.decode import decode
from bot.intake.errors import BrokenPicture, PictureError, TooMuchWork
from bot.intake.web_page import find_picture

CPU_SECONDS_LEFT = 20
"""A backstop for a child whose parent is gone and cannot end it any more."""


def main() -> None:
    """Serve until standard input ends. `argv[2]` is the memory limit in bytes."""
    source = os.fdopen(os.dup(0), "rb")
    sink = os.fdopen(os.dup(1), "wb")
    # Libraries that print must not disturb the answers, and a stranger's picture not the log.
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    limited = _give_up_rights(int(sys.argv[2]))
    _answer(sink, {"limited": limited})
    while line := source.readline():
        _serve(json.loads(line), source, sink)


def _give_up_rights(memory: int) -> bool:
    """Whether the system knows limits that can be set for a process."""
    try:
        import resource
    except ImportError:
        return False
    try:
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    except (OSError, ValueError):  # macOS has the name only
        return False
    # From here on it opens no file, no socket and no pipe: it needs none of them.
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    return True


def _allow_cpu_time() -> None:
    try:
        import resource
    except ImportError:
        return
    usage = resource.getrusage(resource.RUSAGE_SELF)
    allowed = int(usage.ru_utime + usage.ru_stime) + CPU_SECONDS_LEFT
    resource.setrlimit(resource.RLIMIT_CPU, (allowed, resource.RLIM_INFINITY))


def _serve(task: dict[str, Any], source: BufferedReader, sink: BufferedWriter) -> None:
    _allow_cpu_time()
    try:
        body = source.read(task["length"])
        if task["kind"] == "page":
            _answer(sink, {"url": find_picture(body)})
            return
        picture = decode(
            body,
            pixels=task["pixels"],
            multiple=task["multiple"],
            max_pixels=task["max_pixels"],
            background=tuple(task["background"]),
        )
        _answer(sink, {"width": picture.width, "height": picture.height}, picture.pixels)
    except PictureError as error:
        _answer(sink, {"error": type(error).__name__})
    except MemoryError:
        _answer(sink, {"error": TooMuchWork.__name__})
    except Exception:  # noqa: BLE001 - decoders raise anything over damaged bytes
        _answer(sink, {"error": BrokenPicture.__name__})


def _answer(sink: BufferedWriter, header: dict[str, Any], body: bytes = b"") -> None:
    sink.write(json.dumps(header | {"length": len(body)}).encode() + b"\n" + body)
    sink.flush()
