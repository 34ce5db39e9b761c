"""Sheets, enlarged copies and thumbnails."""

from __future__ import annotations

import pytest
from PIL import Image

from bot.images.compose import (
    BACKGROUND,
    GAP,
    LABEL_HEIGHT,
    SHOWN_SIDE,
    enlarged,
    labelled,
    shown,
    thumbnail,
)
from bot.images.picture import Picture


def plain(colour: str, width: int = 64, height: int = 48) -> Picture:
    return Picture(Image.new("RGB", (width, height), colour).tobytes(), width, height)


def image(picture: Picture) -> Image.Image:
    return Image.frombytes("RGB", (picture.width, picture.height), picture.pixels)


def test_a_sheet_has_its_pictures_in_rows_with_a_label_below_each() -> None:
    colours = ["red", "lime", "blue"]
    sheet = image(labelled([(plain(colour), colour) for colour in colours], 2))
    assert sheet.size == (2 * (64 + GAP) + GAP, 2 * (48 + LABEL_HEIGHT + GAP) + GAP)
    for number, colour in enumerate(colours):
        left, top = GAP + number % 2 * (64 + GAP), GAP + number // 2 * (48 + LABEL_HEIGHT + GAP)
        inside = sheet.crop((left, top, left + 64, top + 48))
        assert inside.getcolors() == [(64 * 48, inside.getpixel((0, 0)))]
        assert inside.getpixel((0, 0)) == Image.new("RGB", (1, 1), colour).getpixel((0, 0))
        label = sheet.crop((left, top + 48, left + 64, top + 48 + LABEL_HEIGHT))
        assert len(label.getcolors(64 * LABEL_HEIGHT) or []) > 1
    assert sheet.getpixel((0, 0)) == Image.new("RGB", (1, 1), BACKGROUND).getpixel((0, 0))


def test_an_enlarged_picture_keeps_its_colours() -> None:
    large = enlarged(plain("red", 10, 20), 3)
    assert (large.width, large.height) == (30, 60)
    assert large == plain("red", 30, 60)


@pytest.mark.parametrize(
    ("width", "height", "factor"),
    [(128, 96, 3), (96, 128, 3), (383, 10, 2), (SHOWN_SIDE, 10, 1), (1024, 768, 1)],
)
def test_a_small_picture_is_posted_at_a_multiple_of_its_size(
    width: int, height: int, factor: int
) -> None:
    posted = shown(plain("blue", width, height))
    assert (posted.width, posted.height) == (width * factor, height * factor)
    assert max(posted.width, posted.height) >= SHOWN_SIDE


@pytest.mark.parametrize(
    ("size", "expected"), [((640, 320), (160, 80)), ((320, 640), (80, 160)), ((100, 50), (100, 50))]
)
def test_a_thumbnail_keeps_the_aspect_ratio(
    size: tuple[int, int], expected: tuple[int, int]
) -> None:
    small = thumbnail(plain("lime", *size), 160)
    assert (small.width, small.height) == expected
