"""The sandboxed child process: reads tasks from standard input, responds on standard output.

A message is one line of JSON, followed by the number of bytes that its `length` gives. The parent
unpickles nothing and checks every response, so a compromised child can only return a picture.
"""

from __future__ import annotations

import json
import os
import sys
from io import BufferedReader, BufferedWriter
from typing import Any

from bot.intake.decoding.decode import decode, decode_mask
from bot.intake.errors import BrokenPicture, PictureError, TooMuchWork
from bot.intake.sandbox.privileges import drop_privileges
from bot.intake.web_page import find_pictures

CPU_SECONDS_LEFT = 20
"""CPU time per task. Stops a child whose parent died and cannot kill it."""


def main() -> None:
    """Serve until standard input ends. `argv[2]` is the memory limit in bytes."""
    source = os.fdopen(os.dup(0), "rb")
    sink = os.fdopen(os.dup(1), "wb")
    # Output of libraries must reach neither the responses nor the log.
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    _respond(sink, dict(drop_privileges(int(sys.argv[2]))))
    while line := source.readline():
        _serve(json.loads(line), source, sink)


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
            found = find_pictures(body)
            _respond(sink, {"base": found.base, "addresses": found.addresses})
            return
        if task["kind"] == "mask":
            width, height = task["size"]
            mask = decode_mask(
                body,
                size=(width, height),
                only_transparent=task["only_transparent"],
                max_pixels=task["max_pixels"],
            )
            _respond(sink, {"mask": True}, mask)
            return
        picture = decode(
            body,
            pixels=task["pixels"],
            multiple=task["multiple"],
            sizes=[(width, height) for width, height in task["sizes"]],
            max_pixels=task["max_pixels"],
            background=tuple(task["background"]),
        )
        _respond(sink, {"width": picture.width, "height": picture.height}, picture.pixels)
    except PictureError as error:
        _respond(sink, {"error": type(error).__name__, "params": error.params})
    except MemoryError:
        _respond(sink, {"error": TooMuchWork.__name__})
    except Exception:  # noqa: BLE001 - decoders raise many types for damaged bytes
        _respond(sink, {"error": BrokenPicture.__name__})


def _respond(sink: BufferedWriter, header: dict[str, Any], body: bytes = b"") -> None:
    sink.write(json.dumps(header | {"length": len(body)}).encode() + b"\n" + body)
    sink.flush()
