"""Fetches links. Each redirect is checked by the same rules; one time and size limit covers all."""

from __future__ import annotations

import asyncio
import contextlib
import zlib
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

import aiohttp
from yarl import URL

from bot.intake.content_encoding import ContentDecoder
from bot.intake.decoding.signatures import is_supported
from bot.intake.errors import (
    BadLink,
    DeadLink,
    DiscordLinkExpired,
    FileTooLarge,
    LinkAnsweredBadly,
    LinkError,
    LinkForbidden,
    LinkNotFound,
    LinkRateLimited,
    LinkRefused,
    LinkServerFailed,
    LinkTooSlow,
    PageWithoutPicture,
    TooManyRedirects,
)
from bot.intake.http_client import (
    AddressRefused,
    ReceiveLimit,
    Resolve,
    check_head,
    open_session,
    receive_limit,
    system_resolve,
    user_agent,
)
from bot.intake.limits import IntakeLimits
from bot.intake.links import canonical_host, check_host_and_port, choose_link, host_of, parse_link
from bot.intake.loop_thread import LoopThread
from bot.intake.web_page import PagePictures, looks_like_page

# Without `text/html`, because some hosts answer it with a viewer page for a link to a picture.
_ACCEPT_PICTURE_FIRST = "image/*, */*;q=0.5"
_ACCEPT_PICTURE = "image/*"

_SHARE_OF_CANDIDATE = 1 / 4
"""The part of the total time that one of several pictures of a page may take."""

_DISCORD_HOSTS = ("cdn.discordapp.com", "media.discordapp.net")


class Fetcher:
    """Fetches untrusted links. Use it with `async with`.

    `find_pictures` returns the addresses of the pictures that a web page names.
    """

    def __init__(
        self,
        limits: IntakeLimits,
        find_pictures: Callable[[bytes], Awaitable[PagePictures]],
        resolve: Resolve | None = None,
    ) -> None:
        self.name_contact(limits.contact)
        self._limits = limits
        self._allowed_hosts = {canonical_host(name) for name in limits.allowed_hosts}
        self._denied_hosts = {canonical_host(name) for name in limits.denied_hosts}
        self._find_pictures = find_pictures
        self._resolve = resolve or system_resolve
        self._stack = AsyncExitStack()

    def name_contact(self, address: str) -> None:
        """Name this address in the User-Agent header of later requests."""
        self._user_agent = user_agent(address)

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
                open_session(self._resolve, threads, public_only=True)
            )
            # Only for the hosts in the setting `ALLOWED_HOSTS`.
            self._trusted = await stack.enter_async_context(
                open_session(self._resolve, threads, public_only=False)
            )
            self._sessions = stack.pop_all()

    async def fetch(self, text: str) -> bytes:
        """The bytes that the first link in `text` leads to.

        For a web page, those of the first picture that it names and that can be fetched.

        Raises:
            LinkError: one of its subclasses.
            FileTooLarge: more than `max_bytes`, counted after decompression as well.
        """
        chosen = choose_link(text)
        if chosen is None:
            raise BadLink
        state = _FetchState(self._limits.max_redirects, self._limits.max_bytes)
        try:
            async with asyncio.timeout(self._limits.total_seconds):
                body = await self._thread.run(self._follow(parse_link(chosen.url), state))
                if not looks_like_page(body):
                    return body
                return await self._fetch_named(await self._find_pictures(body), state)
        except TimeoutError:
            raise LinkTooSlow(seconds=self._limits.total_seconds) from None

    async def _fetch_named(self, named: PagePictures, state: _FetchState) -> bytes:
        page = base = state.url
        if named.base:
            with contextlib.suppress(BadLink):
                base = parse_link(named.base, page)
        failures: list[LinkError] = []
        other: bytes | None = None
        for address in named.addresses:
            is_last = address == named.addresses[-1]
            seconds = None if is_last else self._limits.total_seconds * _SHARE_OF_CANDIDATE
            try:
                async with asyncio.timeout(seconds):
                    url = parse_link(address, base)
                    body = await self._thread.run(self._follow(url, state, page))
            except LinkError as error:
                failures.append(error)
                continue
            except TimeoutError:
                failures.append(LinkTooSlow(seconds=seconds))
                continue
            if is_supported(body):
                return body
            if not looks_like_page(body):
                other = other or body
            failures.append(PageWithoutPicture())
        if other is not None:
            # A picture of an unsupported format; the decoder names it in its error.
            return other
        # The error of the best candidate.
        raise next(iter(failures), PageWithoutPicture())

    async def _follow(self, url: URL, state: _FetchState, page: URL | None = None) -> bytes:
        """Follow redirects from `url`; `page` is the web page that named it, if one did."""
        while True:
            check_host_and_port(
                url,
                allowed_ports=self._limits.allowed_ports,
                denied_hosts=self._denied_hosts,
            )
            state.url = url
            trusted = host_of(url) in self._allowed_hosts
            session = self._trusted if trusted else self._public
            limit = ReceiveLimit(self._limits.max_bytes)
            receive_limit.set(limit)
            headers = state.headers(url, page) | {"User-Agent": self._user_agent}
            try:
                async with session.get(url, allow_redirects=False, headers=headers) as response:
                    limit.head_complete = True
                    check_head(response)
                    state.keep_cookies(url, response)
                    location = response.headers.get("Location")
                    if response.status in (301, 302, 303, 307, 308) and location:
                        url = parse_link(location, base=url)
                        state.count_redirect()
                        continue
                    if not 200 <= response.status < 300:
                        raise _error_for(url, response.status)
                    return await _read(response, state)
            except aiohttp.ClientConnectorError as error:
                if isinstance(error.os_error, AddressRefused):
                    raise LinkRefused from None
                raise DeadLink from None
            except TimeoutError:
                raise
            except aiohttp.InvalidURL:
                raise BadLink from None
            except (aiohttp.ClientError, OSError, ValueError, zlib.error):
                if limit.body_too_large:
                    raise FileTooLarge(mebibytes=self._limits.max_bytes / 2**20) from None
                raise DeadLink from None


class _FetchState:
    """Redirects, bytes and cookies of one fetch; `url` is the address being fetched."""

    def __init__(self, redirects: int, max_bytes: int) -> None:
        self.url = URL()
        self._redirects = 0
        self._max_redirects = redirects
        self._bytes = 0
        self._max_bytes = max_bytes
        self._cookies: dict[str, aiohttp.CookieJar] = {}

    def headers(self, url: URL, page: URL | None) -> dict[str, str]:
        """The headers for `url`: what is accepted, the page's origin, the host's own cookies."""
        headers = {"Accept": _ACCEPT_PICTURE_FIRST}
        if page is not None:
            headers = {"Accept": _ACCEPT_PICTURE, "Referer": f"{page.origin()}/"}
        if jar := self._cookies.get(host_of(url)):
            found = jar.filter_cookies(url).values()
            if cookies := "; ".join(f"{cookie.key}={cookie.coded_value}" for cookie in found):
                headers["Cookie"] = cookies
        return headers

    def keep_cookies(self, url: URL, response: aiohttp.ClientResponse) -> None:
        """Keep the cookies of `response` for later requests to the same host."""
        received = response.headers.getall("Set-Cookie", [])
        if received:
            jar = self._cookies.setdefault(
                host_of(url), aiohttp.CookieJar(unsafe=True, quote_cookie=False)
            )
            jar.update_cookies_from_headers(received, url)

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


async def _read(response: aiohttp.ClientResponse, state: _FetchState) -> bytes:
    header = ",".join(response.headers.getall("Content-Encoding", []))
    decoder = ContentDecoder(header, state.check_size)
    body = bytearray()
    async for chunk in response.content.iter_any():
        state.count_bytes(len(chunk))
        for piece in decoder.decode(chunk):
            body += piece
            await asyncio.sleep(0)
    for piece in decoder.flush():
        body += piece
    return bytes(body)


def _error_for(url: URL, status: int) -> LinkError:
    if (
        host_of(url) in _DISCORD_HOSTS
        and "attachments/" in url.raw_path
        and status in (401, 403, 404, 410)
    ):
        return DiscordLinkExpired(status=status)
    match status:
        case 401 | 403 | 451:
            return LinkForbidden(status=status)
        case 404 | 410:
            return LinkNotFound(status=status)
        case 429:
            return LinkRateLimited()
        case _ if status >= 500:
            return LinkServerFailed(status=status)
    return LinkAnsweredBadly(status=status)
