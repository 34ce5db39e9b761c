"""Reads brands and colour properties of HEIF and AVIF files (ISO/IEC 14496-12 and 23008-12)."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from bot.intake.decoding.signatures import AVIF_BRANDS, HEIF_BRANDS, brands_of


def with_known_brand(data: bytes) -> bytes:
    """`data` with a major brand that Pillow's plugins accept, if a compatible brand is one."""
    brands = brands_of(data)
    known = (*AVIF_BRANDS, *HEIF_BRANDS)
    if not brands or brands[0] in known:
        return data
    for brand in brands[1:]:
        if brand in known:
            return data[:8] + brand + data[12:]
    return data


def nclx_of(data: bytes) -> tuple[int, int] | None:
    """The primaries and transfer function of the primary item, as in ITU-T H.273, or None."""
    meta = dict(_boxes(data)).get(b"meta", b"")[4:]
    parts = dict(_boxes(meta))
    properties = dict(_boxes(parts.get(b"iprp", b"")))
    listed = list(_boxes(properties.get(b"ipco", b"")))
    for index in _properties_of(_primary_item(parts), properties.get(b"ipma", b"")):
        if 0 < index <= len(listed):
            kind, body = listed[index - 1]
            if kind == b"colr" and body[:4] == b"nclx" and len(body) >= 8:
                return struct.unpack_from(">HH", body, 4)
    return None


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at + 8 <= len(data):
        (size,) = struct.unpack_from(">I", data, at)
        start = at + 8
        if size == 1 and at + 16 <= len(data):
            (size,) = struct.unpack_from(">Q", data, start)
            start += 8
        end = len(data) if size == 0 else at + size
        if end < start:
            return
        yield data[at + 4 : at + 8], data[start:end]
        at = end


def _primary_item(parts: dict[bytes, bytes]) -> int:
    box = parts.get(b"pitm", b"")
    return int.from_bytes(box[4:6] if box[:1] == b"\0" else box[4:8])


def _properties_of(item: int, box: bytes) -> list[int]:
    """The indices of the properties that the box `ipma` associates with `item`."""
    try:
        (flags, count) = struct.unpack_from(">II", box)
        wide_items, wide_indices = flags >> 24 > 0, flags & 1
        at = 8
        for _ in range(count):
            (found,) = struct.unpack_from(">I" if wide_items else ">H", box, at)
            at += 4 if wide_items else 2
            number = box[at]
            size = 2 if wide_indices else 1
            indices = box[at + 1 : at + 1 + size * number]
            if found == item:
                # The highest bit says that the property is essential.
                mask = 2 ** (8 * size - 1) - 1
                return [
                    int.from_bytes(indices[i : i + size]) & mask
                    for i in range(0, len(indices), size)
                ]
            at += 1 + size * number
    except (struct.error, IndexError):
        pass
    return []
