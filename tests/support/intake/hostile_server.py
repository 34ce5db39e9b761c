"""A hostile web server in its own process."""

from __future__ import annotations

import asyncio
import gzip
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

HOSTILE = (
    "drip",
    "slow-head",
    "silent",
    "endless",
    "chunks",
    "gzip",
    "empty-gzip",
    "headers",
    "long-header",
    "continue",
    "loop",
    "trailers",
    "nested-gzip",
    "codings",
)


@contextmanager
def hostile_server() -> Iterator[tuple[int, Callable[[], dict[str, int]]]]:
    """A hostile server in its own process, so that it does not block this event loop.

    Yields its port, and a function that, after the end, returns the most bytes sent per path.
    """
    sent: dict[str, int] = {}
    process = subprocess.Popen(
        [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process:
        try:
            yield int(process.stdout.readline()), lambda: sent
            process.stdin.close()
            for line in process.stdout:
                path, count = line.split()
                sent[path] = int(count)
        finally:
            process.kill()


async def _serve_hostile() -> None:
    sent: dict[str, int] = {}
    bomb = gzip.compress(bytes(64 * 2**20))
    empty = gzip.compress(b"") * 4000
    # 90 MiB of empty members, compressed again: much work for no output.
    nested = gzip.compress(gzip.compress(b"") * 4_700_000)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.read(2000)
        if not head:  # the client closed the connection first
            writer.close()
            return
        path = head.decode("latin-1").split(" ")[1].strip("/")
        count = 0

        async def write(data: bytes) -> None:
            nonlocal count
            writer.write(data)
            count += len(data)
            sent[path] = max(sent.get(path, 0), count)
            await writer.drain()

        ok = b"HTTP/1.1 200 OK\r\n"
        try:
            match path:
                case "drip":
                    await write(ok + b"Content-Length: 1000000\r\n\r\n")
                    while True:
                        await write(b"x")
                        await asyncio.sleep(0.05)
                case "slow-head":
                    await write(ok + b"X: ")
                    while True:
                        await write(b"x")
                        await asyncio.sleep(0.05)
                case "silent":
                    await asyncio.sleep(3600)
                case "endless":
                    await write(ok + b"\r\n")
                    while True:
                        await write(bytes(65536))
                case "chunks":
                    await write(ok + b"Transfer-Encoding: chunked\r\n\r\n")
                    while True:
                        await write(b"1\r\nx\r\n" * 1000)
                case "gzip":
                    await write(ok + b"Content-Encoding: gzip\r\n\r\n" + bomb)
                case "empty-gzip":
                    await write(ok + b"Content-Encoding: gzip\r\n\r\n")
                    while True:
                        await write(empty)
                case "nested-gzip":
                    await write(ok + b"Content-Encoding: gzip, gzip\r\n\r\n" + nested)
                case "codings":
                    await write(ok + b"Content-Encoding: " + b"gzip, " * 1000 + b"gzip\r\n\r\n")
                case "headers":
                    await write(ok)
                    while True:
                        await write(b"X-Flood: yes\r\n" * 1000)
                case "long-header":
                    await write(ok + b"X: ")
                    while True:
                        await write(b"x" * 65536)
                case "continue":
                    while True:
                        await write(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)
                case "trailers":
                    await write(ok + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n")
                    while True:
                        await write(b"X-Trailer: yes\r\n" * 1000)
                case _:
                    await write(
                        b"HTTP/1.1 302 Found\r\nLocation: /loop\r\nContent-Length: 0\r\n\r\n"
                    )
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=512)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    for path, count in sent.items():
        print(path, count, flush=True)
    # A normal return would log every closed connection.
    os._exit(0)


if __name__ == "__main__":
    asyncio.run(_serve_hostile())
