"""Photographs of phones with 50 to 200 megapixels are accepted; larger ones are refused."""

from __future__ import annotations

from typing import Any

import pytest

from bot.intake import Intake, TooManyPixels
from tests.support.intake.pictures import BUDGET, QUARTERS, encoded, quarters

pytestmark = pytest.mark.asyncio(loop_scope="module")

OPTIONS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 80},
    "PNG": {"compress_level": 1},
    "WEBP": {"quality": 50, "method": 0},
    "TIFF": {"compression": "tiff_adobe_deflate"},
    "AVIF": {"quality": 50, "speed": 10},
    "HEIF": {"quality": 50},
}
SLOW = ("WEBP", "TIFF", "AVIF", "HEIF")
"""Their encoders take seconds for such a picture."""


async def assert_large(intake: Intake, data: bytes) -> None:
    picture = await intake.from_bytes(data, **BUDGET)
    width, height = picture.width, picture.height
    assert {width, height} == {576, 448}
    for index, colour in enumerate(QUARTERS):
        row, column = height // 4 + index // 2 * height // 2, width // 4 + index % 2 * width // 2
        at = 3 * (row * width + column)
        found = picture.pixels[at : at + 3]
        assert max(abs(a - b) for a, b in zip(found, colour, strict=True)) <= 6


@pytest.mark.parametrize(
    ("form", "size"),
    [
        ("JPEG", (8160, 6144)),
        ("JPEG", (6144, 8160)),
        ("JPEG", (8192, 6144)),
        ("PNG", (8192, 6144)),
        *(pytest.param(form, (8192, 6144), marks=pytest.mark.slow) for form in SLOW),
    ],
)
async def test_photographs_of_50_megapixels_open(
    intake: Intake, form: str, size: tuple[int, int]
) -> None:
    await assert_large(intake, encoded(quarters(size=size), form, **OPTIONS[form]))


@pytest.mark.parametrize(
    ("size", "progressive"),
    [((12_000, 9_000), False), ((12_000, 9_000), True), ((16_320, 12_240), False)],
)
async def test_jpeg_photographs_of_108_and_200_megapixels_open(
    intake: Intake, size: tuple[int, int], progressive: bool
) -> None:
    data = encoded(quarters(size=size), "JPEG", quality=80, progressive=progressive)
    await assert_large(intake, data)


@pytest.mark.parametrize(
    ("form", "size"),
    [
        ("PNG", (8192, 6400)),
        ("WEBP", (7300, 7300)),
        ("TIFF", (10_000, 5_300)),
        ("GIF", (7300, 7300)),
        ("JPEG", (16_384, 12_800)),
    ],
)
async def test_more_is_refused(intake: Intake, form: str, size: tuple[int, int]) -> None:
    image = quarters([0, 1, 0, 1], "1", size).convert("L" if form != "WEBP" else "RGB")
    data = encoded(image, form, **OPTIONS.get(form, {}))
    with pytest.raises(TooManyPixels, match="52 megapixels"):
        await intake.from_bytes(data, **BUDGET)
