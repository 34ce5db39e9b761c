"""Names the variants of supported formats that the decoders cannot read."""

from __future__ import annotations

import re
import struct
import warnings
from io import BytesIO

from PIL import Image

from bot.intake.decoding.signatures import BMP_VARIANT, JPEG_VARIANT, TIFF_VARIANT, format_of
from bot.intake.decoding.tiff import (
    BITS,
    COMPRESSION,
    PHOTOMETRIC,
    SAMPLE_FORMAT,
    read_directory,
)

# Start of frame of the processes other than baseline, sequential, progressive and their
# arithmetic-coded forms (ITU-T T.81, table B.1): lossless and hierarchical ones, and JPEG-LS.
_OTHER_FRAMES = frozenset((0xC3, 0xC5, 0xC6, 0xC7, 0xCB, 0xCD, 0xCE, 0xCF, 0xF7))
_FRAMES = _OTHER_FRAMES | {0xC0, 0xC1, 0xC2, 0xC9, 0xCA}
_START_OF_SCAN = 0xDA
_MARKER = re.compile(rb"\xff+([\x02-\xcf\xda-\xfe])")

_BITS_OF_SAMPLES = frozenset((1, 2, 4, 8, 10, 12, 14, 16, 24, 32, 64))
_MAX_PHOTOMETRIC = 10
_MAX_SAMPLE_FORMAT = 6
# None, fax, LZW, JPEG, Deflate and PackBits.
_COMPRESSIONS = frozenset((1, 2, 3, 4, 5, 6, 7, 8, 32773, 32946))

_BMP_HEADERS = frozenset((12, 16, 40, 52, 56, 64, 108, 124))
_BMP_BITS = frozenset((1, 2, 4, 8, 16, 24, 32, 64))
_BMP_MAX_COMPRESSION = 6


def unreadable_variant(data: bytes) -> str | None:
    """The variant of a file that cannot be decoded; None if the file seems to be damaged."""
    try:
        match format_of(data):
            case "TIFF":
                return TIFF_VARIANT if _is_rare_tiff(data) else None
            case "BMP":
                return BMP_VARIANT if _is_rare_bmp(data) else None
            case "JPEG":
                return JPEG_VARIANT if _is_rare_jpeg(data) else None
    except (struct.error, IndexError):
        pass
    return None


def _is_rare_tiff(data: bytes) -> bool:
    tags = read_directory(data)
    (compression, *_), (photometric, *_) = tags.get(COMPRESSION, (1,)), tags.get(PHOTOMETRIC, (0,))
    plausible = (
        _BITS_OF_SAMPLES.issuperset(tags.get(BITS, (1,)))
        and photometric <= _MAX_PHOTOMETRIC
        and all(1 <= kind <= _MAX_SAMPLE_FORMAT for kind in tags.get(SAMPLE_FORMAT, (1,)))
    )
    return plausible and (compression not in _COMPRESSIONS or not _opens(data, "TIFF"))


def _is_rare_bmp(data: bytes) -> bool:
    header, width, height, _, bits, compression = struct.unpack_from("<IiiHHI", data, 14)
    plausible = (
        header in _BMP_HEADERS
        and width > 0
        and height != 0
        and bits in _BMP_BITS
        and compression <= _BMP_MAX_COMPRESSION
    )
    return plausible and not _opens(data, "BMP")


def _opens(data: bytes, form: str) -> bool:
    """Whether Pillow can read the header, which names the format of the pixels."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            Image.open(BytesIO(data), formats=(form,))
        except (OSError, ValueError):
            return False
    return True


def _is_rare_jpeg(data: bytes) -> bool:
    at = 2
    while marker := _MARKER.match(data, at):
        kind, at = marker[1][0], marker.end()
        if kind in _FRAMES:
            return kind in _OTHER_FRAMES or data[at + 2] != 8
        if kind == _START_OF_SCAN:
            return False
        at += max(int.from_bytes(data[at : at + 2]), 2)
    return False
