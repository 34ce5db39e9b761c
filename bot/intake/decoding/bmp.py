"""BMP files whose channels are given by bit masks. Pillow reads a few sets of masks only.

https://learn.microsoft.com/windows/win32/api/wingdi/ns-wingdi-bitmapv5header
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

from PIL import Image, ImageMath

_BITFIELDS, _ALPHA_BITFIELDS = 3, 6
_SIZE_WITH_ALPHA = 56
"""From this size on, the header has a mask for alpha."""


@dataclass(frozen=True, slots=True)
class Bitfields:
    """A BMP file of 16 or 32 bits a pixel. `masks` are those of red, green, blue and, if there is
    alpha, alpha. Rows begin at `offset` and take `stride` bytes; the lowest row is the first one
    if `bottom_up`."""

    size: tuple[int, int]
    bits: int
    masks: tuple[int, ...]
    offset: int
    stride: int
    bottom_up: bool


def bitfields_of(data: bytes) -> Bitfields | None:
    """The masks of a BMP file; None if it has none, or none that make sense."""
    try:
        offset, header, width, height, _, bits, compression = struct.unpack_from(
            "<IIiiHHI", data, 10
        )
        with_alpha = header >= _SIZE_WITH_ALPHA or compression == _ALPHA_BITFIELDS
        masks = struct.unpack_from("<4I" if with_alpha else "<3I", data, 54)
    except struct.error:
        return None
    if compression not in (_BITFIELDS, _ALPHA_BITFIELDS) or bits not in (16, 32):
        return None
    if with_alpha and masks[3] == 0:
        masks = masks[:3]
    stride = (width * bits + 31) // 32 * 4
    if width <= 0 or not height or not all(_is_mask(mask, bits) for mask in masks):
        return None
    if offset + stride * abs(height) > len(data):
        return None
    return Bitfields((width, abs(height)), bits, masks, offset, stride, height > 0)


def load_bitfields(data: bytes, file: Bitfields) -> Image.Image:
    """The pixels, as RGB or RGBA."""
    end = file.offset + file.stride * file.size[1]
    raw_mode = "I;16" if file.bits == 16 else "I;32S"
    order = -1 if file.bottom_up else 1
    mode = "I;16" if file.bits == 16 else "I"
    values = Image.frombytes(
        mode, file.size, data[file.offset : end], "raw", raw_mode, file.stride, order
    ).convert("I")
    channels = [_channel(values, mask) for mask in file.masks]
    return Image.merge("RGBA" if len(channels) == 4 else "RGB", channels)


def _channel(values: Image.Image, mask: int) -> Image.Image:
    shift = (mask & -mask).bit_length() - 1
    top = mask >> shift

    def scaled(args: dict[str, Any]) -> Any:
        # The conversion to float first: a channel may have more than 23 bits.
        level = args["float"]((args["values"] >> shift) & top)
        return args["int"](level * (255 / top) + 0.5)

    result: Image.Image = ImageMath.lambda_eval(scaled, values=values)
    return result.convert("L")


def _is_mask(mask: int, bits: int) -> bool:
    """Whether the set bits are neighbours, and within a pixel."""
    if not 0 < mask < 2**bits:
        return False
    low = mask // (mask & -mask)
    return low & (low + 1) == 0
