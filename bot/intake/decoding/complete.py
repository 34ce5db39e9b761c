"""Tells a file that ends too early from one that is damaged, by the lengths that it states."""

from __future__ import annotations

import struct

from bot.intake.decoding.png import SIGNATURE
from bot.intake.decoding.signatures import format_of
from bot.intake.decoding.tiff import STRIP_SIZES, STRIPS, TILE_SIZES, TILES, read_directory


def is_cut_off(data: bytes) -> bool:
    """Whether `data`, which cannot be decoded, lacks its end. False where that is not known."""
    try:
        match format_of(data):
            case "PNG":
                return _png(data)
            case "JPEG":
                return b"\xff\xd9" not in data[-1024:]
            case "WEBP":
                return int.from_bytes(data[4:8], "little") + 8 > len(data)
            case "GIF":
                return _gif(data)
            case "BMP":
                return _bmp(data)
            case "AVIF" | "HEIF":
                return _isobmff(data)
            case "TIFF":
                return _tiff(data)
    except (struct.error, IndexError):
        # A field lies beyond the end.
        return True
    return False


def _png(data: bytes) -> bool:
    at = len(SIGNATURE)
    while (kind := data[at + 4 : at + 8]) != b"IEND":
        (length,) = struct.unpack_from(">I", data, at)
        if len(kind) < 4:
            return True
        if not kind.isalpha():
            return False
        at += 12 + length
        if at > len(data):
            return True
    return False


def _gif(data: bytes) -> bool:
    flags = data[10]
    at = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    while (kind := data[at]) != 0x3B:
        if kind == 0x21:  # an extension
            at += 2
        elif kind == 0x2C:  # a picture
            flags = data[at + 9]
            at += 11 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
        else:
            return False
        while size := data[at]:
            at += 1 + size
        at += 1
    return False


def _bmp(data: bytes) -> bool:
    (stated,) = struct.unpack_from("<I", data, 2)
    offset, header, width, height = struct.unpack_from("<IIii", data, 10)
    bits, compression = struct.unpack_from("<HI", data, 28)
    if header < 40 or compression in (1, 2):  # run lengths, of unknown total
        return bool(stated > len(data))
    row = (width * bits + 31) // 32 * 4
    return bool(offset + row * abs(height) > len(data))


def _isobmff(data: bytes) -> bool:
    at = 0
    kinds = set()
    while at < len(data):
        kinds.add(data[at + 4 : at + 8])
        (size,) = struct.unpack_from(">I", data, at)
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, at + 8)
        if size == 0:
            return False
        at += max(size, 8)
    # The coded pictures are in `mdat`, or in `idat` inside of `meta`.
    return at > len(data) or (b"mdat" not in kinds and b"idat" not in data)


def _tiff(data: bytes) -> bool:
    directory = read_directory(data)
    ends = [
        start + size
        for places, sizes in ((STRIPS, STRIP_SIZES), (TILES, TILE_SIZES))
        for start, size in zip(directory.get(places, ()), directory.get(sizes, ()), strict=False)
    ]
    return max(ends, default=0) > len(data)
