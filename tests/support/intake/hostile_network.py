"""A fake name server, a web server on loopback, and a record of connection attempts."""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from ipaddress import ip_address
from typing import Any

from bot.intake import Intake, IntakeLimits

_A, _AAAA = 1, 28
_watching: list[tuple[list[tuple[str, int]], tuple[str, int] | None]] = []


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if event == "socket.connect" and _watching and isinstance(args[1], tuple):
        seen, allowed = _watching[-1]
        target = (str(args[1][0]), int(args[1][1]))
        if target != allowed:
            seen.append(target)
            raise ConnectionRefusedError("intercepted")


sys.addaudithook(_hook)


@contextmanager
def watched_connections(allowed: tuple[str, int] | None = None) -> Iterator[list[tuple[str, int]]]:
    """Record and refuse every connection of this process, except those to `allowed`.

    Python raises the audit event `socket.connect` before the system call.
    """
    seen: list[tuple[str, int]] = []
    _watching.append((seen, allowed))
    try:
        yield seen
    finally:
        _watching.pop()


class NameServer(asyncio.DatagramProtocol):
    """Answers DNS over UDP (RFC 1035) from a table; a name's answers are used in turn."""

    def __init__(self) -> None:
        self.answers: dict[str, list[list[str]]] = {}
        self.asked: defaultdict[str, int] = defaultdict(int)
        self._transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        host, end = _read_name(data, 12)
        (kind,) = struct.unpack_from(">H", data, end)
        # One client asks for A first and for AAAA then: both belong to the same turn.
        turns = self.answers.get(host, [[]])
        turn = turns[min(self.asked[host], len(turns) - 1)]
        self.asked[host] += kind == _AAAA
        records = b""
        count = 0
        for text in turn:
            address = ip_address(text)
            if (address.version == 6) == (kind == _AAAA):
                count += 1
                records += struct.pack(">3HIH", 0xC00C, kind, 1, 0, len(address.packed))
                records += address.packed
        header = data[:2] + struct.pack(">5H", 0x8180, 1, count, 0, 0)
        self._transport.sendto(header + data[12 : end + 4] + records, addr)


def _read_name(data: bytes, at: int) -> tuple[str, int]:
    labels = []
    while length := data[at]:
        labels.append(data[at + 1 : at + 1 + length].decode())
        at += 1 + length
    return ".".join(labels), at + 1


@asynccontextmanager
async def name_server() -> AsyncIterator[
    tuple[NameServer, Callable[[str, int], list[tuple[Any, ...]]]]
]:
    """A name server on loopback, and a replacement for `socket.getaddrinfo` that queries it.

    The C library parses numeric addresses in every spelling that it knows.
    """
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(NameServer, local_addr=("127.0.0.1", 0))
    where = transport.get_extra_info("sockname")

    def resolve(host: str, port: int) -> list[tuple[Any, ...]]:
        try:
            return list(
                socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
            )
        except (socket.gaierror, UnicodeError):
            found = [*_ask(where, host, _A), *_ask(where, host, _AAAA)]
            if not found:
                raise socket.gaierror(socket.EAI_NONAME, "no such name") from None
            return [
                (socket.AF_INET6 if ":" in text else socket.AF_INET, 1, 6, "", (text, port))
                for text in found
            ]

    try:
        yield server, resolve
    finally:
        transport.close()


def _ask(where: tuple[str, int], host: str, kind: int) -> list[str]:
    question = b"".join(
        bytes((len(label),)) + label.encode() for label in host.rstrip(".").split(".") if label
    )
    packet = struct.pack(">6H", 1, 0x100, 1, 0, 0, 0) + question + struct.pack(">B2H", 0, kind, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(5)
        asking.sendto(packet, where)
        answer = asking.recv(4096)
    (count,) = struct.unpack_from(">H", answer, 6)
    at, found = len(packet), []
    for _ in range(count):
        (length,) = struct.unpack_from(">H", answer, at + 10)
        found.append(str(ip_address(answer[at + 12 : at + 12 + length])))
        at += 12 + length
    return found


Respond = Callable[[str, dict[str, str]], bytes]
"""The target and the headers of a request → the bytes of the response."""


def answer(
    body: bytes, status: str = "200 OK", headers: tuple[str, ...] = (), kind: str = "image/png"
) -> bytes:
    """An HTTP response with a Content-Length."""
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", f"Content-Type: {kind}", *headers]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


@asynccontextmanager
async def web_server(respond: Respond) -> AsyncIterator[int]:
    """The port of a loopback server that sends what `respond(path, headers)` returns."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = dict(line.split(": ", 1) for line in head[1:] if line)
        writer.write(respond(head[0].split(" ")[1], headers))
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


@asynccontextmanager
async def served(
    respond: Respond, *hosts: str, ports: tuple[int, ...] = (), **limits: Any
) -> AsyncIterator[tuple[Intake, str]]:
    """An intake, and the address of a loopback server that it may reach as an allowed host.

    The server has the names `host.test` and `hosts`; `inside.test` has a private address. `ports`
    are allowed besides that of the server.
    """
    names_here = ("host.test", *hosts)
    async with web_server(respond) as port, name_server() as (names, resolve):
        names.answers["inside.test"] = [["10.0.0.1"]]
        for name in names_here:
            names.answers[name] = [["127.0.0.1"]]
        allowed_ports = (80, 443, port, *ports)
        allowed = IntakeLimits(allowed_ports=allowed_ports, allowed_hosts=names_here, **limits)
        async with Intake(allowed, resolve=resolve) as intake:
            yield intake, f"http://host.test:{port}"
