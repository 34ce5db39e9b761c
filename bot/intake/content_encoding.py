"""Decodes the Content-Encoding of a response as browsers do, in bounded steps."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator

_STEP = 256 * 1024
"""Bytes that are decompressed before control returns to the caller."""

_COMPRESSED = ("gzip", "x-gzip", "deflate")
# Codings that browsers know and this client does not ask for. Other tokens are not codings.
_UNSUPPORTED = ("br", "zstd", "dcb", "dcz", "compress", "x-compress")

_MAX_CODINGS = 5
"""As in curl (MAX_ENCODE_STACK)."""

_GZIP, _ZLIB, _RAW = 31, 15, -15
"""Values of zlib's `wbits`."""


class UnsupportedEncoding(ValueError):
    """The body is compressed in a way that was not asked for."""


class ContentDecoder:
    """Decodes the body of one response.

    `check_size` is called with the total size of each layer's output and may raise.

    Raises:
        UnsupportedEncoding: `header` names a compression other than gzip and deflate.
    """

    def __init__(self, header: str, check_size: Callable[[int], None]) -> None:
        tokens = [token.strip().lower() for token in header.split(",")]
        codings = [token for token in tokens if token in _COMPRESSED]
        if len(codings) > _MAX_CODINGS or any(token in _UNSUPPORTED for token in tokens):
            raise UnsupportedEncoding(header)
        # They are listed in the order in which they were applied (RFC 9110, section 8.4).
        self._layers = [_Layer(coding, check_size) for coding in reversed(codings)]

    def decode(self, data: bytes) -> Iterator[bytes]:
        """The decoded pieces of `data`. Some are empty, so that the caller regains control.

        Raises:
            zlib.error: the body is not what the header says.
        """
        return _through(self._layers, data)

    def flush(self) -> Iterator[bytes]:
        """The pieces that are still buffered when the body has ended."""
        for index, layer in enumerate(self._layers):
            for piece in layer.flush():
                yield from _through(self._layers[index + 1 :], piece)


def _through(layers: list[_Layer], data: bytes) -> Iterator[bytes]:
    if not layers or not data:
        yield data
        return
    for piece in layers[0].decode(data):
        yield from _through(layers[1:], piece)


class _Layer:
    def __init__(self, coding: str, check_size: Callable[[int], None]) -> None:
        self._coding = coding
        self._check_size = check_size
        self._size = 0
        self._start = b""
        self._unpacker: zlib._Decompress | None = None
        self._members = 0
        self._finished = False

    def decode(self, data: bytes) -> Iterator[bytes]:
        while data and not self._finished:
            if self._unpacker is None:
                self._start += data
                if len(self._start) < 2:
                    return
                data, self._start = self._start, b""
                if self._members and not data.startswith(b"\x1f\x8b"):
                    # Browsers ignore what follows the last member.
                    self._finished = True
                    return
                self._unpacker = zlib.decompressobj(wbits=_window(data, self._coding))
            piece = self._unpacker.decompress(data, _STEP)
            data = self._unpacker.unconsumed_tail
            yield self._counted(piece)
            if self._unpacker.eof:
                data = self._unpacker.unused_data
                self._finished = self._coding == "deflate"
                self._unpacker = None
                self._members += 1

    def flush(self) -> Iterator[bytes]:
        # zlib may hold back a few kilobytes when the output of a step was full.
        if self._unpacker is not None and not self._finished:
            yield self._counted(self._unpacker.flush())

    def _counted(self, piece: bytes) -> bytes:
        self._size += len(piece)
        self._check_size(self._size)
        return piece


def _window(start: bytes, coding: str) -> int:
    """The kind of stream that `start` begins, which may differ from what `coding` says."""
    if start.startswith(b"\x1f\x8b"):
        return _GZIP
    # The header of RFC 1950: method 8, and a check that makes the first two bytes divisible by 31.
    if start[0] & 0x0F == 8 and int.from_bytes(start[:2]) % 31 == 0:
        return _ZLIB
    return _RAW if coding == "deflate" else _GZIP
