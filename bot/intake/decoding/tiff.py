"""TIFF and BigTIFF files: their first directory, and what Pillow does not read correctly."""

from __future__ import annotations

import struct

from PIL import Image, TiffImagePlugin

# Formats of the integer types of values, and bytes of all types (TIFF 6.0, section 2, and BigTIFF).
_TYPES = dict(zip((1, 2, 3, 4, 6, 7, 8, 9, 13, 16, 17, 18), "BBHIbBhiIQqQ", strict=True))
_SIZES = {kind: struct.calcsize(f"={code}") for kind, code in _TYPES.items()}
_SIZES |= {5: 8, 10: 8, 11: 4, 12: 8}

# TIFF 6.0, part 1 and section 15, and SampleFormat (section 19).
BITS, COMPRESSION, PHOTOMETRIC, PLANES, SAMPLE_FORMAT = 258, 259, 262, 284, 339
STRIPS, STRIP_SIZES, TILES, TILE_SIZES = 273, 279, 324, 325
_READ = (
    BITS, COMPRESSION, PHOTOMETRIC, PLANES, SAMPLE_FORMAT, STRIPS, STRIP_SIZES, TILES, TILE_SIZES
)  # fmt: skip

_MAX_TAGS, _MAX_VALUES = 4096, 2**16
"""Tags of the directory that are examined, and values of one tag that are returned."""


def read_directory(data: bytes) -> dict[int, tuple[int, ...]]:
    """The values of the tags of the first directory that are named in this module. Of a tag that is
    there several times, the first one counts, as in libtiff.

    Raises:
        struct.error: the directory, or the values of a tag, lie beyond the end of the file.
    """
    order = "<" if data.startswith(b"II") else ">"
    (version,) = struct.unpack_from(order + "H", data, 2)
    big = version == 43
    header, counter, entry, inline = ("Q", "Q", "HHQ", 8) if big else ("I", "H", "HHI", 4)
    at = struct.unpack_from(order + header, data, 8 if big else 4)[0]
    (count,) = struct.unpack_from(order + counter, data, at)
    at += struct.calcsize(order + counter)
    values: dict[int, tuple[int, ...]] = {}
    for _ in range(min(count, _MAX_TAGS)):
        tag, kind, number = struct.unpack_from(order + entry, data, at)
        place = at + struct.calcsize(order + entry)
        at = place + inline
        size = number * _SIZES.get(kind, 0)
        if size > inline:
            (place,) = struct.unpack_from(order + ("Q" if big else "I"), data, place)
        if place + size > len(data):
            raise struct.error("beyond the end")
        if tag in _READ and tag not in values and kind in _TYPES:
            values[tag] = struct.unpack_from(
                f"{order}{min(number, _MAX_VALUES)}{_TYPES[kind]}", data, place
            )
    return values


def has_wide_planes(data: bytes) -> bool:
    """Whether the channels of a TIFF file are stored apart and have other than 8 bits.

    Pillow reads such files as if they had 8 bits.
    """
    try:
        tags = read_directory(data)
    except struct.error:
        return False
    bits = tags.get(BITS, (1,))
    return tags.get(PLANES) == (2,) and len(bits) > 1 and bits[0] != 8


# Pillow can unpack 64-bit floating-point samples, but does not list them for TIFF.
for _order, _raw_mode in ((b"II", "F;64F"), (b"MM", "F;64BF")):
    TiffImagePlugin.OPEN_INFO[_order, 1, (3,), 1, (64,), ()] = ("F", _raw_mode)

# Pillow's names of the big-endian samples that it does not read correctly after libtiff.
_NATIVE = {"F;32BF": "F;32NF", "F;64BF": "F;64NF", "I;32B": "I;32N", "I;32BS": "I;32NS"}


def use_native_order(image: TiffImagePlugin.TiffImageFile) -> None:
    """Correct how `image`, which is not loaded yet, will be unpacked.

    libtiff decompresses to the machine's byte order. Pillow would swap the bytes once more.
    """
    image.tile = [
        tile._replace(args=(_NATIVE.get(tile.args[0], tile.args[0]), *tile.args[1:]))
        if tile.codec_name == "libtiff" and isinstance(tile.args, tuple)
        else tile
        for tile in image.tile
    ]


def with_black_as_zero(image: TiffImagePlugin.TiffImageFile) -> Image.Image:
    """The loaded `image`, inverted if white is zero in the file and Pillow did not invert it.

    Pillow inverts samples of up to 8 bits only.
    """
    if image.tag_v2.get(PHOTOMETRIC) != 0:
        return image
    if image.mode.startswith("I;16"):
        return image.convert("I").point(lambda value: value * -1 + 65535).convert("I;16")
    return image.point(lambda value: value * -1.0 + 0.0) if image.mode == "F" else image
