"""Picture files built from their parts: PNG chunks, BMP headers, boxes of HEIF and AVIF."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

import numpy as np

from tests.support.intake.pictures import QUARTERS

Chunk = tuple[bytes, bytes]

GREY, TRUECOLOUR, PALETTE, GREY_ALPHA, TRUECOLOUR_ALPHA = 0, 2, 3, 4, 6
CHANNELS = {GREY: 1, TRUECOLOUR: 3, PALETTE: 1, GREY_ALPHA: 2, TRUECOLOUR_ALPHA: 4}


def chunk(kind: bytes, body: bytes, checksum: int | None = None) -> bytes:
    """A PNG chunk, with its right checksum unless another is given."""
    right = zlib.crc32(kind + body)
    return (
        struct.pack(">I", len(body))
        + kind
        + body
        + struct.pack(">I", right if checksum is None else checksum)
    )


def png(
    samples: Sequence[Sequence[int]],
    *chunks: bytes,
    depth: int = 8,
    colour_type: int = TRUECOLOUR,
    size: tuple[int, int] = (192, 128),
) -> bytes:
    """A PNG file of four flat rectangles with the given samples, in the order of `QUARTERS`.

    `chunks` are whole chunks that are put before the image data.
    """
    width, height = size
    rows = np.array(samples, np.uint16).reshape(2, 2, CHANNELS[colour_type])
    pixels = np.repeat(np.repeat(rows, height // 2, 0), width // 2, 1)
    lines = [_packed(line.reshape(-1), depth) for line in pixels]
    header = struct.pack(">2I5B", width, height, depth, colour_type, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + b"".join(chunks)
        + chunk(b"IDAT", zlib.compress(b"".join(b"\0" + line for line in lines)))
        + chunk(b"IEND", b"")
    )


def _packed(line: np.ndarray, depth: int) -> bytes:
    if depth == 16:
        return line.astype(">u2").tobytes()
    if depth == 8:
        return line.astype(np.uint8).tobytes()
    bits = (line[:, None] >> np.arange(depth - 1, -1, -1)) & 1
    return np.packbits(bits.astype(np.uint8)).tobytes()


def quarters_png(*chunks: bytes) -> bytes:
    """`QUARTERS` as a PNG file with more chunks."""
    return png(QUARTERS, *chunks)


def bmp(
    colours: Sequence[tuple[int, int, int, int]],
    *,
    header: int,
    size: tuple[int, int] = (192, 128),
) -> bytes:
    """A 32-bit BMP file with masks for red, green, blue and alpha; `header` is 56, 108 or 124."""
    width, height = size
    values = np.array([[b, g, r, a] for r, g, b, a in colours], np.uint8).reshape(2, 2, 4)
    pixels = np.repeat(np.repeat(values, height // 2, 0), width // 2, 1)[::-1].tobytes()
    masks = struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    info = struct.pack("<IiiHHIIiiII", header, width, height, 1, 32, 3, len(pixels), 0, 0, 0, 0)
    info = (info + masks).ljust(header, b"\0")
    offset = 14 + header
    return b"BM" + struct.pack("<IHHI", offset + len(pixels), 0, 0, offset) + info + pixels


def with_brands(data: bytes, major: bytes, *compatible: bytes) -> bytes:
    """A HEIF or AVIF file with other brands; the last one fills the places of the old ones."""
    size = int.from_bytes(data[:4])
    places = (size - 16) // 4
    assert len(compatible) <= places
    brands = [*compatible, *[compatible[-1]] * (places - len(compatible))]
    return data[:8] + major + data[12:16] + b"".join(brands) + data[size:]


def with_nclx(data: bytes, primaries: int, transfer: int) -> bytes:
    """An AVIF or HEIF file whose colour property names other primaries and another curve."""
    at = data.index(b"colrnclx") + 8
    return data[:at] + struct.pack(">HH", primaries, transfer) + data[at + 4 :]
