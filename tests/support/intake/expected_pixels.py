"""Checks of decoded pixels, and the formulas for the values that are expected."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

from bot.images.picture import Picture
from bot.intake import Intake, PictureError
from bot.intake.decoding.decode import decode
from tests.support.intake.pictures import BUDGET, QUARTERS, SRGB


def assert_quarters(picture: Picture, colours: Any = QUARTERS, tolerance: float = 2) -> None:
    """Check the size (3:2) and the colour in the middle of each quarter."""
    assert (picture.width, picture.height) == (576, 384)
    array = np.frombuffer(picture.pixels, np.uint8).reshape(384, 576, 3).astype(int)
    for index, colour in enumerate(colours):
        row, column = 96 + index // 2 * 192, 144 + index % 2 * 288
        patch = array[row - 60 : row + 60, column - 90 : column + 90]
        assert np.abs(patch - np.array(colour)).max() <= tolerance, (index, patch[60, 90], colour)


async def decoded(intake: Intake, data: bytes) -> Picture:
    """The picture from the sandbox: the same as, or the same error as, from the decoder itself.

    The decoder also runs in this process, because coverage cannot be measured in the sandbox.
    """
    expected = _decoded_here(intake, data)
    if isinstance(expected, PictureError):
        with pytest.raises(type(expected)) as raised:
            await intake.from_bytes(data, **BUDGET)
        raise raised.value
    picture = await intake.from_bytes(data, **BUDGET)
    assert picture == expected
    return picture


def _decoded_here(intake: Intake, data: bytes) -> Picture | PictureError:
    limits = intake.limits
    with pytest.MonkeyPatch.context() as patch:
        # The decoder changes Pillow's limit.
        patch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
        try:
            return decode(
                data, max_pixels=limits.max_pixels, background=limits.background, **BUDGET
            )
        except PictureError as error:
            return error


def srgb_curve(linear: Any) -> Any:
    """IEC 61966-2-1: linear light (0 to 1) to a value of 0 to 255."""
    linear = np.clip(linear, 0, 1)
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def lab_to_srgb(lab: Any) -> Any:
    """CIELAB with white point D50, as in ICC profiles, to sRGB values."""
    fy = (lab[:, 0] + 16) / 116
    f = np.stack([fy + lab[:, 1] / 500, fy, fy - lab[:, 2] / 200], 1)
    xyz = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29)) * (0.9642, 1, 0.8249)
    return srgb_curve((np.linalg.inv(SRGB) @ xyz.T).T)


def from_primaries(colours: Any, primaries: Any, curve: Any) -> Any:
    """Colours of 0 to 255 under other primaries (x and y of red, green, blue; white is D65) and
    the curve `curve` (a value of 0 to 1 → linear light) as sRGB values, clipped."""
    to_xyz = [_matrix(points) for points in (primaries, BT709)]
    light = curve(np.array(colours, float) / 255)
    return srgb_curve((np.linalg.inv(to_xyz[1]) @ to_xyz[0] @ light.T).T)


BT709 = ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060))
P3 = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))
BT2020 = ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046))


def _matrix(points: Any) -> Any:
    columns = np.array([(x / y, 1, (1 - x - y) / y) for x, y in points]).T
    white = np.array((0.3127 / 0.3290, 1, (1 - 0.3127 - 0.3290) / 0.3290))
    return columns * np.linalg.solve(columns, white)


def srgb_light(value: Any) -> Any:
    """IEC 61966-2-1: a value of 0 to 1 to linear light."""
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def pq_light(value: Any) -> Any:
    """SMPTE ST 2084: a value of 0 to 1 to light, where 1 is 203 cd/m², clipped there."""
    power = value ** (32 / 2523)
    top = np.maximum(power - 107 / 128, 0)
    light = 10_000 / 203 * (top / (2413 / 128 - 2392 / 128 * power)) ** (16384 / 2610)
    return np.minimum(light, 1)


def hlg_light(value: Any) -> Any:
    """ARIB STD-B67 on a display of 1,000 cd/m², per channel, where 1 is 203 cd/m²,
    clipped there."""
    scene = np.where(
        value <= 0.5, value**2 / 3, (np.exp((value - 0.55991073) / 0.17883277) + 0.28466892) / 12
    )
    return np.minimum(1000 / 203 * scene**1.2, 1)
