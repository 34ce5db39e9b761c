"""HTTP sessions that connect to public addresses only."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from importlib.metadata import version
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from bot.intake.addresses import is_public

Resolve = Callable[[str, int], list[tuple[Any, ...]]]
"""`socket.getaddrinfo` or a replacement: (family, type, protocol, canonical name, address)."""

MAX_HEAD = 64 * 1024
"""Bytes of a response's headers. Real ones reach 34,000 (Content-Security-Policy)."""

_MAX_HEADER_LINES = 2000
"""The parser's own limit; `MAX_HEAD` is usually reached first."""

_READ = 16 * 1024
_HANDSHAKE = 32 * 1024
"""Allowance for what TLS sends before and around the head: certificates, mostly."""


class AddressRefused(OSError):
    """The host's address is not public. An OSError, because aiohttp wraps those."""


class HeadTooLarge(OSError):
    """The response's head is larger than `MAX_HEAD`."""


class BodyTooLarge(OSError):
    """The response has more bytes than a file of the largest size, with its encoding."""


class ReceiveLimit:
    """Counts the bytes of one response as they are received, with the encoding of the transfer.

    The encoding of a body of `max_bytes` may add a quarter. Chunks of one byte have six bytes each.
    """

    def __init__(self, max_bytes: int) -> None:
        self.head_complete = False
        self.body_too_large = False
        self._received = 0
        self._max_head = MAX_HEAD + _HANDSHAKE + _READ
        self._max_bytes = self._max_head + max_bytes * 5 // 4

    def count(self, size: int) -> None:
        """Add `size` bytes.

        Raises:
            HeadTooLarge: the head is not complete and too large already.
            BodyTooLarge: the response is too large already.
        """
        self._received += size
        if not self.head_complete and self._received > self._max_head:
            raise HeadTooLarge
        if self._received > self._max_bytes:
            self.body_too_large = True
            raise BodyTooLarge


receive_limit: ContextVar[ReceiveLimit] = ContextVar("receive_limit")
"""The limit for the request that the current task is about to send."""


def check_head(response: aiohttp.ClientResponse) -> None:
    """Apply the exact limit of the head.

    Raises:
        HeadTooLarge: more than `MAX_HEAD` bytes.
    """
    # Four bytes a line: a colon, a space, and the end of the line.
    if sum(len(name) + len(value) + 4 for name, value in response.raw_headers) > MAX_HEAD:
        raise HeadTooLarge


def user_agent(contact: str = "") -> str:
    """The User-Agent header, with an address at which the operator can be found, if there is one.

    Large hosts refuse clients that name no address. The form is Wikimedia's,
    `<client name>/<version> (<contact information>)`:
    https://foundation.wikimedia.org/wiki/Policy:Wikimedia_Foundation_User-Agent_Policy
    """
    address = f"+{contact}; " if contact else ""
    return f"Redraw/{version('redraw')} ({address}Discord bot; a user sent it this link)"


def open_session(
    resolve: Resolve, threads: ThreadPoolExecutor, *, public_only: bool
) -> aiohttp.ClientSession:
    """A session without cookies, proxies, redirects or decompression of its own."""
    connector = aiohttp.TCPConnector(
        resolver=_Resolver(resolve, threads, public_only=public_only),
        # Called with the address of each connection, for names and every spelling of an address.
        socket_factory=_public_socket if public_only else _any_socket,
        # A reused connection would skip the check.
        force_close=True,
        use_dns_cache=False,
    )
    return aiohttp.ClientSession(
        connector=connector,
        # The caller limits the total time; a limit here would restart at every redirect.
        timeout=aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None),
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        auto_decompress=False,
        headers={"Accept-Encoding": "identity"},
        max_line_size=MAX_HEAD,
        max_field_size=MAX_HEAD,
        max_headers=_MAX_HEADER_LINES,
    )


class _Resolver(AbstractResolver):
    """Resolves names. With `public_only`, a name with any other address is refused."""

    def __init__(self, resolve: Resolve, threads: ThreadPoolExecutor, *, public_only: bool) -> None:
        self._resolve = resolve
        self._threads = threads
        self._public_only = public_only

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._threads, self._resolve, host, port)
        addresses = dict.fromkeys((entry[4][0], entry[0]) for entry in found)
        if self._public_only and not all(is_public(address) for address, _ in addresses):
            raise AddressRefused
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=family,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for address, family in addresses
        ]

    async def close(self) -> None:
        pass


def system_resolve(host: str, port: int) -> list[tuple[Any, ...]]:
    """The system's addresses for `host`."""
    return list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))


def _public_socket(info: Any) -> socket.socket:
    if not is_public(info[4][0]):
        raise AddressRefused
    return _any_socket(info)


def _any_socket(info: Any) -> socket.socket:
    family, kind, protocol, _, _ = info
    return _LimitedSocket(receive_limit.get(), family=family, type=kind, proto=protocol)


class _LimitedSocket(socket.socket):
    """Limits each read to 16 KiB (asyncio asks for 256 KiB), and the size of the response.

    The parser holds the GIL during one read; 256 KiB of tiny chunks or headers take half a second.
    """

    def __init__(self, limit: ReceiveLimit, **options: Any) -> None:
        super().__init__(**options)
        self._limit = limit

    def recv(self, bufsize: int, flags: int = 0) -> bytes:
        data = super().recv(min(bufsize, _READ), flags)
        self._limit.count(len(data))
        return data

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        size = super().recv_into(buffer, min(nbytes or len(buffer), _READ), flags)
        self._limit.count(size)
        return size
