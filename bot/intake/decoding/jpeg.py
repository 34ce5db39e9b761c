"""Decodes JPEG files that lack their end.

Browsers show what there is of a file. Here a file is accepted if nearly all of it is there.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from io import BytesIO

from PIL import Image, ImageChops

from bot.intake.errors import IncompletePicture

MAX_LOST = 1 / 8
"""The part of a picture's area that may be missing."""

FEW_BYTES = 64
"""So many missing bytes are accepted whatever their share of a small file is."""

_END = b"\xff\xd9"
_BLOCK = 16
"""Rows and columns of the largest usual block (4:2:0 subsampling)."""

# Data that no encoder wrote. Where the file ends too early, it changes the picture.
_NOISE = bytes(range(1, 255)) * 64

# Markers with a length; not the restart markers, which lie within the data of a scan.
_MARKER = re.compile(rb"\xff+([\x02-\xcf\xda-\xfe])")
_BASELINE_AND_SEQUENTIAL = (0xC0, 0xC1)
_PROGRESSIVE = 0xC2
_START_OF_SCAN = 0xDA


def load_without_end(data: bytes, prepare: Callable[[Image.Image], None]) -> Image.Image:
    """The picture of a JPEG file without end marker; `prepare` is called before it is loaded.

    Raises:
        IncompletePicture: more than `MAX_LOST` and more than about `FEW_BYTES` are missing.
        OSError, ValueError, SyntaxError: it is damaged.
    """
    if not _has_all_scans(data):
        raise IncompletePicture
    # Where data is missing, the decoder leaves the picture grey. The same file with noise in that
    # place shows where it begins.
    image, other = (_loaded(data + filler + _END, prepare) for filler in (b"", _NOISE))
    changed = ImageChops.difference(image, other)
    if (box := changed.getbbox()) is not None:
        top, width, height = box[1], image.width, image.height
        first_row = changed.crop((0, top, width, min(top + _BLOCK, height)))
        left = (first_row.getbbox() or box)[0]
        lost = ((height - top) * width - left * first_row.height) / (width * height)
        present = len(data) - data.rfind(bytes((0xFF, _START_OF_SCAN)))
        if lost > MAX_LOST and present * lost > FEW_BYTES * (1 - lost):
            raise IncompletePicture
    return image


def _loaded(data: bytes, prepare: Callable[[Image.Image], None]) -> Image.Image:
    image: Image.Image = Image.open(BytesIO(data), formats=("JPEG",))
    prepare(image)
    image.load()
    return image


def _has_all_scans(data: bytes) -> bool:
    """Whether every coefficient of a progressive file is in one of its scans, in full precision.

    Each scan's header says which coefficients it holds, and how many low bits are left for later
    scans (ITU-T T.81, section G.1.1.1).
    """
    missing: set[tuple[int, int]] | None = None
    at = 2
    while marker := _MARKER.search(data, at):
        kind, at = marker[1][0], marker.end()
        length = int.from_bytes(data[at : at + 2])
        body = data[at + 2 : at + length]
        if kind == _PROGRESSIVE and len(body) >= 6:
            components = body[6 : 6 + 3 * body[5] : 3]
            missing = {(part, index) for part in components for index in range(64)}
        elif kind in _BASELINE_AND_SEQUENTIAL:
            return True
        elif kind == _START_OF_SCAN and missing is not None and body:
            count = body[0]
            first, last, precision = body[1 + 2 * count : 4 + 2 * count].ljust(3, b"\xff")
            if precision & 15 == 0:
                parts = body[1 : 1 + 2 * count : 2]
                missing -= {(part, index) for part in parts for index in range(first, last + 1)}
        at += max(length, 2)
    return not missing
