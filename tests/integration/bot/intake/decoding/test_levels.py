"""Alpha channels, transparent colours and number ranges mean what browsers take them for."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bot.intake import Intake
from tests.support.intake.expected_pixels import assert_quarters, decoded
from tests.support.intake.pictures import QUARTERS, encoded
from tests.support.intake.raw_pictures import (
    GREY,
    GREY_ALPHA,
    TRUECOLOUR,
    TRUECOLOUR_ALPHA,
    bmp,
    chunk,
    png,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

WHITE = (255, 255, 255)


@pytest.mark.parametrize("header", [56, 108, 124])
async def test_a_bmp_whose_alpha_is_zero_everywhere_is_opaque(intake: Intake, header: int) -> None:
    data = bmp([(*colour, 0) for colour in QUARTERS], header=header)
    with Image.open(io.BytesIO(data)) as image:
        assert image.mode == "RGBA"
    assert_quarters(await decoded(intake, data))


@pytest.mark.parametrize("header", [56, 108, 124])
async def test_a_bmp_with_used_alpha_is_transparent(intake: Intake, header: int) -> None:
    alphas = (0, 255, 51, 1)
    data = bmp(
        [(*colour, alpha) for colour, alpha in zip(QUARTERS, alphas, strict=True)], header=header
    )
    expected = [
        [(part * alpha + 255 * (255 - alpha)) / 255 for part in colour]
        for colour, alpha in zip(QUARTERS, alphas, strict=True)
    ]
    assert_quarters(await decoded(intake, data), expected)


@pytest.mark.parametrize("form", ["PNG", "WEBP", "TIFF"])
async def test_elsewhere_alpha_of_zero_is_transparent(intake: Intake, form: str) -> None:
    data = encoded(Image.new("RGBA", (192, 128), (9, 99, 199, 0)), form)
    assert_quarters(await decoded(intake, data), [WHITE] * 4)


@pytest.mark.parametrize("key", [0x1234, 0x0000, 0xFFFF])
async def test_a_transparent_grey_of_16_bits_is_compared_exactly(intake: Intake, key: int) -> None:
    near = key ^ 0x0001
    samples = [[key], [near], [0x8080], [key ^ 0x0100]]
    data = png(samples, chunk(b"tRNS", struct.pack(">H", key)), depth=16, colour_type=GREY)
    expected = [WHITE] + [(sample[0] / 257,) * 3 for sample in samples[1:]]
    assert_quarters(await decoded(intake, data), expected, tolerance=1)


@pytest.mark.parametrize("key", [(0x1234, 0x5678, 0x9ABC), (0, 0, 0), (0xFFFF, 0x00FF, 0xFF00)])
async def test_a_transparent_colour_of_16_bits_is_compared_exactly(
    intake: Intake, key: tuple[int, int, int]
) -> None:
    samples = [key, (key[0] ^ 1, *key[1:]), (*key[:2], key[2] ^ 1), (0x4040, 0x8080, 0xC0C0)]
    data = png(samples, chunk(b"tRNS", struct.pack(">3H", *key)), depth=16, colour_type=TRUECOLOUR)
    expected = [WHITE] + [[value >> 8 for value in sample] for sample in samples[1:]]
    assert_quarters(await decoded(intake, data), expected, tolerance=1)


@pytest.mark.parametrize(
    ("depth", "key"), [(1, 0), (1, 1), (2, 1), (2, 3), (4, 5), (4, 15), (8, 7)]
)
async def test_a_transparent_grey_of_few_bits_is_compared(
    intake: Intake, depth: int, key: int
) -> None:
    top = 2**depth - 1
    samples = [[key], [0 if key else top], [key], [top if key != top else 0]]
    # Only the low bits count (PNG, third edition, section 11.3.1.1).
    chunks = chunk(b"tRNS", struct.pack(">H", key | 0x100))
    expected = [WHITE if value == key else (value * 255 / top,) * 3 for (value,) in samples]
    data = png(samples, chunks, depth=depth, colour_type=GREY)
    assert_quarters(await decoded(intake, data), expected, tolerance=1)


async def test_alpha_of_16_bits_is_honoured(intake: Intake) -> None:
    grey = [(0x1010, 0), (0x4040, 0xFFFF), (0x8080, 0x8080), (0xFFFF, 0x4040)]
    expected = [[255] * 3, [64] * 3, [(128 * 128 + 255 * 127) / 255] * 3, [255] * 3]
    data = png(grey, depth=16, colour_type=GREY_ALPHA)
    assert_quarters(await decoded(intake, data), expected, tolerance=2)
    colours = [(*(257 * part for part in colour), 0x8080) for colour in QUARTERS]
    blended = [[(part * 128 + 255 * 127) / 255 for part in colour] for colour in QUARTERS]
    data = png(colours, depth=16, colour_type=TRUECOLOUR_ALPHA)
    assert_quarters(await decoded(intake, data), blended, tolerance=2)


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((NAN, 0.0, 0.5, 1.0), (0, 0, 127.5, 255)),
        ((0.0, INF, 1.0, 4.0), (0, 255, 63.75, 255)),
        ((-INF, -2.0, 0.0, 2.0), (0, 0, 127.5, 255)),
        ((NAN, INF, -INF, 3.0), (0, 0, 0, 0)),
        ((NAN, NAN, 1e30, 3e30), (0, 0, 0, 255)),
        ((INF, -INF, -5.0, 5.0), (255, 0, 0, 255)),
        ((NAN, NAN, NAN, NAN), (0, 0, 0, 0)),
    ],
)
async def test_a_float_picture_spans_its_finite_range(
    intake: Intake, values: Any, expected: Any
) -> None:
    rows = np.array(values, np.float32).reshape(2, 2)
    pixels = np.repeat(np.repeat(rows, 64, 0), 96, 1)
    data = encoded(Image.fromarray(pixels), "TIFF")
    wanted = [(value,) * 3 for value in expected]
    assert_quarters(await decoded(intake, data), wanted, tolerance=1)


@pytest.mark.parametrize("bad", [NAN, INF, -INF])
async def test_a_single_bad_pixel_does_not_matter(intake: Intake, bad: float) -> None:
    rows = np.array((0.25, 0.5, 0.75, 1.0), np.float32).reshape(2, 2)
    pixels = np.repeat(np.repeat(rows, 64, 0), 96, 1)
    pixels[0, 0] = bad
    picture = await decoded(intake, encoded(Image.fromarray(pixels), "TIFF"))
    assert_quarters(picture, [(0,) * 3, (85,) * 3, (170,) * 3, (255,) * 3], tolerance=1)
