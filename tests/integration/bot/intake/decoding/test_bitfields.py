"""BMP files with masks: every layout of 16 and 32 bits shows the values that it holds."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from bot.intake import BrokenPicture, IncompletePicture, Intake, TooLong
from tests.support.intake.expected_pixels import assert_quarters, decoded
from tests.support.intake.pictures import QUARTERS

pytestmark = pytest.mark.asyncio(loop_scope="module")

LAYOUTS: dict[str, tuple[int, tuple[int, ...]]] = {
    "4 bits each": (16, (0xF00, 0xF0, 0xF)),
    "4 bits each, with alpha": (16, (0xF00, 0xF0, 0xF, 0xF000)),
    "5 bits, with alpha of 1 bit": (16, (0x7C00, 0x3E0, 0x1F, 0x8000)),
    "5, 6 and 5 bits": (16, (0xF800, 0x7E0, 0x1F)),
    "3, 3 and 2 bits": (16, (0xE0, 0x1C, 0x3)),
    "8 bits, blue last": (32, (0xFF0000, 0xFF00, 0xFF)),
    "8 bits, red last": (32, (0xFF, 0xFF00, 0xFF0000)),
    "8 bits, red first": (32, (0xFF000000, 0xFF0000, 0xFF00)),
    "8 bits, alpha last": (32, (0xFF000000, 0xFF0000, 0xFF00, 0xFF)),
    "10 bits": (32, (0x3FF00000, 0xFFC00, 0x3FF)),
    "10 bits, alpha of 2 bits": (32, (0xFFC00, 0x3FF00000, 0x3FF, 0xC0000000)),
    "11, 11 and 10 bits": (32, (0xFFE00000, 0x1FFC00, 0x3FF)),
}


def levels(value: float, mask: int) -> int:
    """The sample that comes nearest to a value of 0 to 255."""
    return round(value * (mask // (mask & -mask)) / 255)


def bmp(
    bits: int, masks: tuple[int, ...], alpha: float = 255, header: int = 124, top_down: bool = False
) -> bytes:
    """`QUARTERS`, as near as the masks allow."""
    size = (192, 128)
    pixels = [
        sum(
            levels(value, mask) * (mask & -mask)
            for value, mask in zip((*colour, alpha), masks, strict=False)
        )
        for colour in QUARTERS
    ]
    rows = np.repeat(np.repeat(np.array(pixels, np.uint32).reshape(2, 2), 64, 0), 96, 1)
    body = (rows if top_down else rows[::-1]).astype(f"<u{bits // 8}").tobytes()
    height = -size[1] if top_down else size[1]
    info = struct.pack("<IiiHHI", header, size[0], height, 1, bits, 3).ljust(40, b"\0")
    info = (info + struct.pack(f"<{len(masks)}I", *masks)).ljust(max(header, 52), b"\0")
    offset = 14 + len(info)
    return b"BM" + struct.pack("<IHHI", offset + len(body), 0, 0, offset) + info + body


def expected(masks: tuple[int, ...], alpha: float = 255) -> list[list[float]]:
    shown = []
    for colour in QUARTERS:
        opacity = 1.0
        if len(masks) == 4:
            opacity = levels(alpha, masks[3]) / (masks[3] // (masks[3] & -masks[3]))
        values = [
            255 * levels(value, mask) / (mask // (mask & -mask))
            for value, mask in zip(colour, masks[:3], strict=True)
        ]
        shown.append([value * opacity + 255 * (1 - opacity) for value in values])
    return shown


@pytest.mark.parametrize("top_down", [False, True])
@pytest.mark.parametrize("name", LAYOUTS)
async def test_every_layout_shows_its_values(intake: Intake, name: str, top_down: bool) -> None:
    bits, masks = LAYOUTS[name]
    data = bmp(bits, masks, top_down=top_down)
    assert_quarters(await decoded(intake, data), expected(masks), tolerance=1.5)


@pytest.mark.parametrize("name", [name for name in LAYOUTS if "alpha" in name])
@pytest.mark.parametrize("alpha", [0, 128])
async def test_alpha_counts_unless_it_is_zero_everywhere(
    intake: Intake, name: str, alpha: float
) -> None:
    bits, masks = LAYOUTS[name]
    wanted = expected(masks, alpha) if levels(alpha, masks[3]) else expected(masks)
    data = bmp(bits, masks, alpha)
    assert_quarters(await decoded(intake, data), wanted, tolerance=2.5)


@pytest.mark.parametrize("header", [40, 52, 56, 108])
async def test_the_masks_are_found_behind_and_in_the_header(intake: Intake, header: int) -> None:
    masks = LAYOUTS["4 bits each"][1]
    data = bmp(16, masks, header=header)
    assert_quarters(await decoded(intake, data), expected(masks), tolerance=1.5)


async def test_the_limits_hold(intake: Intake) -> None:
    data = bytearray(bmp(16, LAYOUTS["4 bits each"][1]))
    with pytest.raises(IncompletePicture):
        await decoded(intake, bytes(data[:-100]))
    data[18:26] = struct.pack("<ii", 192 * 16, 8)
    with pytest.raises(TooLong):
        await decoded(intake, bytes(data))
    data[18:26] = struct.pack("<ii", 0, 8)
    with pytest.raises(BrokenPicture):
        await decoded(intake, bytes(data))
