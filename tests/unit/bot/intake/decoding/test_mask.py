"""A mask is the transparent region of a picture, or the brightness of an opaque one."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bot.intake.decoding.decode import decode_mask
from bot.intake.errors import NotAPicture, NotTransparent, TooManyPixels

SIZE = (48, 32)
LIMITS: dict[str, Any] = {"size": SIZE, "max_pixels": 10_000}


def png(image: Image.Image, **options: Any) -> bytes:
    file = BytesIO()
    image.save(file, "PNG", **options)
    return file.getvalue()


def left_half_transparent() -> Image.Image:
    image = Image.new("RGBA", (96, 64), (200, 10, 10, 255))
    image.paste((200, 10, 10, 0), (0, 0, 48, 64))
    return image


def mask_of(data: bytes, *, only_transparent: bool = False) -> Any:
    mask = decode_mask(data, only_transparent=only_transparent, **LIMITS)
    return np.frombuffer(mask, np.uint8).reshape(SIZE[1], SIZE[0])


@pytest.mark.parametrize("only_transparent", [True, False])
def test_the_transparent_region_is_white_and_the_rest_black(only_transparent: bool) -> None:
    mask = mask_of(png(left_half_transparent()), only_transparent=only_transparent)
    assert (mask[:, :20] == 255).all()
    assert (mask[:, 28:] == 0).all()


def test_a_transparent_colour_of_a_palette_counts_as_transparent() -> None:
    image = Image.new("P", (96, 64), 1)
    image.putpalette([0, 0, 0, 255, 255, 255])
    image.paste(0, (0, 0, 48, 64))
    mask = mask_of(png(image, transparency=0), only_transparent=True)
    assert (mask[:, :20] == 255).all()
    assert (mask[:, 28:] == 0).all()


def test_an_opaque_picture_gives_its_brightness_if_that_is_allowed() -> None:
    image = Image.new("RGB", (96, 64), (90, 90, 90))
    image.paste((255, 255, 255), (0, 32, 96, 64))
    mask = mask_of(png(image))
    assert (mask[:13] == 90).all()
    assert (mask[19:] == 255).all()
    opaque_with_alpha = image.convert("RGBA")
    assert (mask_of(png(opaque_with_alpha)) == mask).all()
    for data in (png(image), png(opaque_with_alpha)):
        with pytest.raises(NotTransparent):
            mask_of(data, only_transparent=True)


def test_the_limits_of_pictures_hold_for_masks() -> None:
    with pytest.raises(TooManyPixels):
        mask_of(png(Image.new("L", (200, 100))))
    with pytest.raises(NotAPicture):
        mask_of(b"mask")
