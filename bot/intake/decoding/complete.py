"""Tells a file that ends too early from one that is damaged, by the lengths that it states."""

from __future__ import annotations

import struct

from bot.intake.decoding.png import SIGNATURE
from bot.intake.decoding.signatures import format_of


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
    while at < len(data):
        (size,) = struct.unpack_from(">I", data, at)
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, at + 8)
        if size == 0:
            return False
        at += max(size, 8)
    return at > len(data)


def _tiff(data: bytes) -> bool:
    order = "<" if data.startswith(b"II") else ">"
    if data[2:4] not in (b"*\0", b"\0*"):
        return False
    (directory,) = struct.unpack_from(order + "I", data, 4)
    (count,) = struct.unpack_from(order + "H", data, directory)
    values: dict[int, list[int]] = {}
    for index in range(count):
        tag, kind, number, value = struct.unpack_from(
            order + "HHII", data, directory + 2 + 12 * index
        )
        if tag in (273, 279, 324, 325):  # offsets and sizes of strips and tiles
            code, size = ("H", 2) if kind == 3 else ("I", 4)
            at = directory + 10 + 12 * index if number * size <= 4 else value
            values[tag] = list(struct.unpack_from(f"{order}{number}{code}", data, at))
    ends = [
        start + size
        for places, sizes in ((273, 279), (324, 325))
        for start, size in zip(values.get(places, []), values.get(sizes, []), strict=False)
    ]
    return max(ends, default=0) > len(data)
