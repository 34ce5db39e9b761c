"""Reads the chunks of a PNG file: removes what Pillow stumbles over, reads what Pillow ignores.

https://www.w3.org/TR/png-3/
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

SIGNATURE = b"\x89PNG\r\n\x1a\n"

_MAX_PROFILE = 2**20
"""Bytes of an unpacked colour profile. Larger ones are ignored."""

# Ancillary chunks that the decoder needs. The rest (texts, dates, private data) is removed.
_KEPT = frozenset((b"tRNS", b"acTL", b"fcTL", b"fdAT", b"eXIf"))
_READ_HERE = frozenset((b"iCCP", b"cICP", b"sRGB", b"gAMA", b"cHRM"))

_GREY, _TRUECOLOUR = 0, 2


@dataclass(slots=True)
class PngFile:
    """`data` is the file without needless chunks; the rest is what they said.

    `transparent` is the colour that is transparent, in the file's bit depth (one grey or three
    RGB values). `gamma` is the exponent of the gAMA chunk, about 0.45. `chromaticities` are x and
    y of white, red, green and blue.
    """

    data: bytes = b""
    depth: int = 8
    transparent: tuple[int, ...] | None = None
    profile: bytes | None = None
    cicp: tuple[int, int] | None = None
    srgb: bool = False
    gamma: float | None = None
    chromaticities: tuple[float, ...] | None = None


def read_png(data: bytes) -> PngFile:
    """The parts of a PNG file. Damage is left to the decoder to find.

    Ancillary chunks with a wrong checksum are ignored, as in browsers.
    """
    file = PngFile()
    kept: list[bytes | memoryview] = [SIGNATURE]
    seen: dict[bytes, bytes] = {}
    view = memoryview(data)
    at = len(SIGNATURE)
    while at + 8 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        kind = data[at + 4 : at + 8]
        end = at + 12 + length
        ancillary = bool(kind[0] & 0x20)
        if not ancillary or end > len(data):
            kept.append(view[at:end])
        elif kind in _KEPT | _READ_HERE and _is_intact(view, at, length):
            if kind in _READ_HERE or kind == b"tRNS":
                seen.setdefault(kind, data[at + 8 : at + 8 + length])
            if kind in _KEPT:
                kept.append(view[at:end])
        if kind == b"IHDR" and length == 13:
            seen[kind] = data[at + 8 : at + 21]
        if kind == b"acTL":
            seen[kind] = b""
        if kind == b"IEND":
            break
        at = end
    if not _interpret(file, seen):
        kept = [part for part in kept if bytes(part[4:8]) != b"tRNS"]
    file.data = b"".join(kept)
    return file


def _is_intact(view: memoryview, at: int, length: int) -> bool:
    (checksum,) = struct.unpack_from(">I", view, at + 8 + length)
    return zlib.crc32(view[at + 4 : at + 8 + length]) == int(checksum)


def _interpret(file: PngFile, seen: dict[bytes, bytes]) -> bool:
    """Fill `file`; whether the decoder needs the chunk tRNS."""
    header = seen.get(b"IHDR", bytes(13))
    file.depth, colour_type = header[8], header[9]
    key = seen.get(b"tRNS", b"")
    count = {_GREY: 1, _TRUECOLOUR: 3}.get(colour_type, 0)
    valid = len(key) >= 2 * count
    # Pillow composes the frames of an animation and needs the chunk for it.
    animated = b"acTL" in seen
    if count and valid and not animated:
        values = struct.unpack_from(f">{count}H", key)
        file.transparent = tuple(value & 2**file.depth - 1 for value in values)
    file.profile = _profile(seen.get(b"iCCP", b""))
    if len(seen.get(b"cICP", b"")) == 4:
        file.cicp = (seen[b"cICP"][0], seen[b"cICP"][1])
    file.srgb = b"sRGB" in seen
    if len(seen.get(b"gAMA", b"")) == 4:
        file.gamma = int.from_bytes(seen[b"gAMA"]) / 100_000
    if len(seen.get(b"cHRM", b"")) == 32:
        file.chromaticities = tuple(v / 100_000 for v in struct.unpack(">8I", seen[b"cHRM"]))
    return count == 0 or (animated and valid)


def _profile(chunk: bytes) -> bytes | None:
    _, separator, packed = chunk.partition(b"\0")
    if not separator or packed[:1] != b"\0":
        return None
    try:
        profile = zlib.decompressobj().decompress(packed[1:], _MAX_PROFILE + 1)
    except zlib.error:
        return None
    return profile if len(profile) <= _MAX_PROFILE else None
