"""Fetches links. Each redirect is checked by the same rules; one time and size limit covers all."""

from __future__ import annotations

import asyncio
import socket
import zlib
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from bot.intake.addresses import is_public
from bot.intake.errors import (
    BadLink,
    DeadLink,
    FileTooLarge,
    LinkAnsweredBadly,
    LinkRefused,
    LinkTooSlow,
    PageWithoutPicture,
    TooManyRedirects,
)
from bot.intake.limits import IntakeLimits
from bot.intake.links import canonical_host, check_host_and_port, host_of, parse_link
from bot.intake.loop_thread import LoopThread

Resolve = Callable[[str, int], list[tuple[Any, ...]]]
"""`socket.getaddrinfo` or a replacement: (family, type, protocol, canonical name, address)."""

_USER_AGENT = "Redraw (a Discord bot; a user sent it this link to a picture)"
_READ = 16 * 1024
_STEP = 256 * 1024
"""Bytes that are decompressed before control returns to the event loop."""


class AddressRefused(OSError):
    """The host's address is not public. An OSError, because aiohttp wraps those."""


class Fetcher:
    """Fetches untrusted links. Use it with `async with`.

    `find_picture` returns the address of the picture that a web page names, or None.
    """

    def __init__(
        self,
        limits: IntakeLimits,
        find_picture: Callable[[bytes], Awaitable[str | None]],
        resolve: Resolve | None = None,
    ) -> None:
        self._limits = limits
        self._allowed_hosts = {canonical_host(name) for name in limits.allowed_hosts}
        self._denied_hosts = {canonical_host(name) for name in limits.denied_hosts}
        self._find_picture = find_picture
        self._resolve = resolve or _getaddrinfo
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            # Parsing a hostile response (one-byte chunks, many headers) blocks for tenths of a
            # second. In its own thread it does not delay the gateway's heartbeats.
            self._thread = await stack.enter_async_context(LoopThread("fetch"))
            await self._thread.run(self._open())
            stack.push_async_callback(lambda: self._thread.run(self._sessions.aclose()))
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    async def _open(self) -> None:
        async with AsyncExitStack() as stack:
            # Not the loop's default executor: a slow name server would occupy all its threads.
            threads = ThreadPoolExecutor(8, thread_name_prefix="resolve")
            stack.callback(threads.shutdown, wait=False, cancel_futures=True)
            self._public = await stack.enter_async_context(
                _session(_Resolver(self._resolve, threads, public_only=True), _public_socket)
            )
            # Only for the hosts in the setting `ALLOWED_HOSTS`.
            self._trusted = await stack.enter_async_context(
                _session(_Resolver(self._resolve, threads, public_only=False), _any_socket)
            )
            self._sessions = stack.pop_all()

    async def fetch(self, text: str) -> bytes:
        """The bytes that `text` links to, or those of the picture that the linked page names.

        Raises:
            LinkError: one of its subclasses.
            FileTooLarge: more than `max_bytes`, counted after decompression as well.
        """
        budget = _Budget(self._limits.max_redirects, self._limits.max_bytes)
        try:
            async with asyncio.timeout(self._limits.total_seconds):
                body = await self._thread.run(self._follow(parse_link(text), budget))
                if not _looks_like_page(body):
                    return body
                named = await self._find_picture(body)
                if named is None:
                    raise PageWithoutPicture
                body = await self._thread.run(
                    self._follow(parse_link(named, base=budget.url), budget)
                )
                if _looks_like_page(body):
                    raise PageWithoutPicture
                return body
        except TimeoutError:
            raise LinkTooSlow(seconds=self._limits.total_seconds) from None

    async def _follow(self, url: URL, budget: _Budget) -> bytes:
        while True:
            check_host_and_port(
                url,
                allowed_ports=self._limits.allowed_ports,
                denied_hosts=self._denied_hosts,
            )
            budget.url = url
            trusted = host_of(url) in self._allowed_hosts
            session = self._trusted if trusted else self._public
            try:
                async with session.get(url, allow_redirects=False) as response:
                    location = response.headers.get("Location")
                    if response.status in (301, 302, 303, 307, 308) and location:
                        url = parse_link(location, base=url)
                        budget.count_redirect()
                        continue
                    if not 200 <= response.status < 300:
                        raise LinkAnsweredBadly(status=response.status)
                    return await _read(response, budget)
            except aiohttp.ClientConnectorError as error:
                if isinstance(error.os_error, AddressRefused):
                    raise LinkRefused from None
                raise DeadLink from None
            except TimeoutError:
                raise
            except aiohttp.InvalidURL:
                raise BadLink from None
            except (aiohttp.ClientError, OSError, ValueError, zlib.error):
                raise DeadLink from None


class _Budget:
    """Counts redirects and bytes of one fetch; `url` is the address being fetched."""

    def __init__(self, redirects: int, max_bytes: int) -> None:
        self.url = URL()
        self._redirects = 0
        self._max_redirects = redirects
        self._bytes = 0
        self._max_bytes = max_bytes

    def count_redirect(self) -> None:
        self._redirects += 1
        if self._redirects > self._max_redirects:
            raise TooManyRedirects(limit=self._max_redirects)

    def count_bytes(self, count: int) -> None:
        self._bytes += count
        self.check_size(self._bytes)

    def check_size(self, size: int) -> None:
        if size > self._max_bytes:
            raise FileTooLarge(mebibytes=self._max_bytes / 2**20)


async def _read(response: aiohttp.ClientResponse, budget: _Budget) -> bytes:
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("", "identity", "gzip", "x-gzip", "deflate"):
        raise DeadLink
    unpacker = zlib.decompressobj(wbits=47) if "identity" not in encoding and encoding else None
    body = bytearray()
    async for chunk in response.content.iter_any():
        budget.count_bytes(len(chunk))
        if unpacker is None:
            body += chunk
            continue
        while chunk and not unpacker.eof:
            body += unpacker.decompress(chunk, _STEP)
            budget.check_size(len(body))
            chunk = unpacker.unconsumed_tail
            await asyncio.sleep(0)
    return bytes(body)


def _looks_like_page(body: bytes) -> bool:
    """Whether `body` starts as markup does; SVG and other XML do not count."""
    start = body[:512].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    return start.startswith(b"<") and not start.startswith((b"<svg", b"<?xml"))


def _session(
    resolver: AbstractResolver, socket_factory: Callable[[Any], socket.socket]
) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(
        resolver=resolver,
        # Called with the address of each connection, for names and every spelling of an address.
        socket_factory=socket_factory,
        # A reused connection would skip the check.
        force_close=True,
        use_dns_cache=False,
    )
    return aiohttp.ClientSession(
        connector=connector,
        # `fetch` limits the total time; a limit here would restart at every redirect.
        timeout=aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None),
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        auto_decompress=False,
        headers={
            "User-Agent": _USER_AGENT,
            "Accept": "image/*, text/html;q=0.5, */*;q=0.1",
            "Accept-Encoding": "identity",
        },
        max_line_size=8190,
        max_field_size=8190,
        max_headers=100,
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


def _getaddrinfo(host: str, port: int) -> list[tuple[Any, ...]]:
    return list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))


def _public_socket(info: Any) -> socket.socket:
    address = info[4][0]
    if not is_public(address):
        raise AddressRefused
    return _any_socket(info)


def _any_socket(info: Any) -> socket.socket:
    family, kind, protocol, _, _ = info
    return _SmallReads(family=family, type=kind, proto=protocol)


class _SmallReads(socket.socket):
    """Limits each read to 16 KiB; asyncio asks for 256 KiB.

    The parser holds the GIL during one read; 256 KiB of tiny chunks or headers take half a second.
    """

    def recv(self, bufsize: int, flags: int = 0) -> bytes:
        return super().recv(min(bufsize, _READ), flags)

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        return super().recv_into(buffer, min(nbytes or len(buffer), _READ), flags)
