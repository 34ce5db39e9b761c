"""Untrusted links and files → verified pictures. `Intake` is the public interface.

link    links → fetch → http_client        public addresses only; one time and size limit per link
bytes   sandbox → sandbox_main → decoding  a restricted child process decodes to RGB pixels
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self

from bot.images.picture import Picture
from bot.intake.errors import (
    BadLink,
    BrokenPicture,
    DeadLink,
    DiscordLinkExpired,
    FileTooLarge,
    IncompletePicture,
    LinkAnsweredBadly,
    LinkError,
    LinkForbidden,
    LinkNotFound,
    LinkRateLimited,
    LinkRefused,
    LinkServerFailed,
    LinkTooSlow,
    NotAPicture,
    NotTransparent,
    PageWithoutPicture,
    PictureError,
    TooLong,
    TooManyPixels,
    TooManyRedirects,
    TooMuchWork,
    UnsupportedFormat,
)
from bot.intake.limits import IntakeLimits

__all__ = [
    "BadLink",
    "BrokenPicture",
    "DeadLink",
    "DiscordLinkExpired",
    "FileTooLarge",
    "IncompletePicture",
    "Intake",
    "IntakeLimits",
    "LinkAnsweredBadly",
    "LinkError",
    "LinkForbidden",
    "LinkNotFound",
    "LinkRateLimited",
    "LinkRefused",
    "LinkServerFailed",
    "LinkTooSlow",
    "NotAPicture",
    "NotTransparent",
    "PageWithoutPicture",
    "PictureError",
    "TooLong",
    "TooManyPixels",
    "TooManyRedirects",
    "TooMuchWork",
    "UnsupportedFormat",
]


class Intake:
    """Fetches links and decodes pictures. Use it with `async with`.

    `resolve` replaces `socket.getaddrinfo(host, port)` in tests.
    """

    def __init__(
        self,
        limits: IntakeLimits | None = None,
        *,
        resolve: Callable[[str, int], list[tuple[Any, ...]]] | None = None,
    ) -> None:
        self.limits = limits or IntakeLimits()
        self._resolve = resolve
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        # Not at the top: the sandboxed child imports this package too and needs no network library.
        from bot.intake.fetch import Fetcher
        from bot.intake.sandbox.pool import Sandbox

        async with AsyncExitStack() as stack:
            self._sandbox = await stack.enter_async_context(
                Sandbox(
                    workers=self.limits.decode_workers,
                    memory=self.limits.decode_memory,
                    seconds=self.limits.decode_seconds,
                )
            )
            self._fetcher = await stack.enter_async_context(
                Fetcher(self.limits, self._sandbox.find_pictures, self._resolve)
            )
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    def name_contact(self, address: str) -> None:
        """Name this address to the servers of links, in the User-Agent header."""
        self._fetcher.name_contact(address)

    async def fetch(self, url: str) -> bytes:
        """The bytes that the first link in `url` leads to, or those of the picture a page names.

        Raises:
            LinkError: one of its subclasses.
            FileTooLarge: more than `limits.max_bytes`, counted after decompression as well.
        """
        return await self._fetcher.fetch(url)

    async def from_bytes(
        self, data: bytes, *, pixels: int, multiple: int, sizes: Sequence[tuple[int, int]] = ()
    ) -> Picture:
        """The picture in `data`, upright, in sRGB and at the size that `geometry.fit` gives.

        Raises:
            PictureError: one of its subclasses.
        """
        if len(data) > self.limits.max_bytes:
            raise FileTooLarge(mebibytes=self.limits.max_bytes / 2**20)
        return await self._sandbox.decode(
            data,
            pixels=pixels,
            multiple=multiple,
            sizes=sizes,
            max_pixels=self.limits.max_pixels,
            background=self.limits.background,
        )

    async def mask_from_bytes(
        self, data: bytes, *, size: tuple[int, int], only_transparent: bool = False
    ) -> bytes:
        """The mask in `data` as 8-bit grey of this size: its transparent region, or, if it is
        opaque and that is allowed, its brightness.

        Raises:
            PictureError: one of its subclasses.
        """
        if len(data) > self.limits.max_bytes:
            raise FileTooLarge(mebibytes=self.limits.max_bytes / 2**20)
        return await self._sandbox.decode_mask(
            data,
            size=size,
            only_transparent=only_transparent,
            max_pixels=self.limits.max_pixels,
        )
